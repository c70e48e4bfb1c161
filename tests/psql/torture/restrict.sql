\restrict AbC123

SELECT 1;

\unrestrict AbC123

