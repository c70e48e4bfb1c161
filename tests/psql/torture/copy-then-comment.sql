COPY t FROM STDIN; -- data follows
1
\.
COPY t FROM STDIN; /* data */ -- follows
2
\.
SELECT 1;
