-- head
SELECT 1;

SELECT 'a

b',

2;

/* x
*/
SELECT 3
