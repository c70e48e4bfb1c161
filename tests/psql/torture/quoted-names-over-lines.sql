SELECT 1 AS "one;
two;

three"; SELECT 2;
