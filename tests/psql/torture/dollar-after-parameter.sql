SELECT $1$a$;$a$; SELECT $12$$;$$; SELECT 2;
