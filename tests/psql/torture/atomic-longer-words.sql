CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT ending, send, end_, casement, x.beginner, end$ FROM y; END; SELECT 1;
