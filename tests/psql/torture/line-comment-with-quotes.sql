-- it's "so" $$ /*
SELECT 1 -- don't; $x$ (
; SELECT 2;
