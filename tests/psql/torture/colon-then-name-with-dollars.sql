SELECT a[1:x$a$]; SELECT 2; -- $a$
SELECT 3;
