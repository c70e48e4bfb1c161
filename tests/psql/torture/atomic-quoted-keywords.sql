CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT "end", 'end;', $$end;$$, "begin" FROM x; -- end;
/* end; */ END; SELECT 1;
