SELECT E'a;'
'b;'
 -- '
 'c;';
SELECT e'\\'

'd\\;';
SELECT 2;
