COPY t FROM STDIN;
SELECT 1;
-- comment
/*
'
"
$$
(
\d
;
\.
SELECT 2;
