SELECT 1,
\set x
2;
