SELECT E'a'
'b\';';
SELECT 'a'

'b;';
SELECT 2;
