COPY t FROM STDIN WHERE a > (1) AND b <> ';';
1
\.
SELECT 1;
