COPY t -- a; b
 FROM /* from; */ STDIN -- c
;
1
\.
SELECT 1;
