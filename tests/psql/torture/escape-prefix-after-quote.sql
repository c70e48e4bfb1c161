SELECT 'a'E'\';'; SELECT "a"E'\';'; SELECT $$a$$E'\';'; SELECT 2;
