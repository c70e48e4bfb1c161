CREATE FUNCTION f() RETURNS int LANGUAGE sql SET standard_conforming_strings = off AS $$ SELECT 1; $$;
ALTER ROLE r SET standard_conforming_strings = off;
SELECT '\'; SELECT 2;
