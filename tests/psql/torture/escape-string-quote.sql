SELECT E'a\';b'; SELECT e'\';'; SELECT 1;
