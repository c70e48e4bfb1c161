COPY t FROM STDIN;
\. 
 \.
\..
\\.
a\.
\.b

.
\.
SELECT 1;
