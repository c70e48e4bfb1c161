SELECT E'a'
'b;'; SELECT E'a''\'; SELECT 2;
