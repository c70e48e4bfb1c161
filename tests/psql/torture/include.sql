SELECT 1;
\ir included/two.sql
SELECT 3;
