COPY t (a, b) FROM STDIN WITH (FORMAT csv, HEADER);
a,b
1,"x;
 y"
2,'
\.
SELECT 1;
