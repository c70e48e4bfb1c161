\o out.txt
SELECT 1;
