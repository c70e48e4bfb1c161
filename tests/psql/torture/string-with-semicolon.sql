SELECT 'a;b'; SELECT ';';
