SELECT E'a'
'b\';c';
SELECT E'a' -- no '
 -- nor ;'
  '\';';
SELECT 2;
