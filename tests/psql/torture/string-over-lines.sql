SELECT 'one;
two;
-- three
/* four'
, 5;
SELECT 6;
