SELECT 1$a$;$a$; SELECT 1.5$$;$$; SELECT 2;
