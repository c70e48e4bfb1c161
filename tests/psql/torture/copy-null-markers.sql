COPY t FROM STDIN;
\N	\N
\\N	\t
\.

SELECT 1;
