SELECT 'a;'
'b;'
  'c;';
SELECT 'x' -- comment ' ;
 'y;';
SELECT 2;
