-- head
SELECT 1;
