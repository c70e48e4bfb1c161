SELECT '";', '"'; SELECT 2;
