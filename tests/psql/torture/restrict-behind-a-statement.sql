SELECT 1; \restrict abc
SELECT 2;
\unrestrict abc
