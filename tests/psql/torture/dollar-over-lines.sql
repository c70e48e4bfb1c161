CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $body$
BEGIN

  PERFORM 1; -- it's
  /* $$ */
END;
$body$;
SELECT 2;
