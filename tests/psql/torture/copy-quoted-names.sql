COPY "from"."stdin;" ("to") FROM STDIN;
1
\.
SELECT 1;
