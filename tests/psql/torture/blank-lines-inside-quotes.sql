SELECT 'a


b', $$c


d$$, "e

f", E'g

\'h' /* i


j */

, 1;
SELECT 2;
