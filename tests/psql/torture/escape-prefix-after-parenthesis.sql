SELECT (E'\';'),(e'\');'),E'\')'; SELECT 2;
