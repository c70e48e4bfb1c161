  \echo hello
SELECT 1;
