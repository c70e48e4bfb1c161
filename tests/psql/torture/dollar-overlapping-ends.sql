SELECT $a$;$b$a$; SELECT $$;$a$$; SELECT $x$;$$x$; SELECT 2;
