SELECT $$a$$$$b;$$; SELECT $a$;$a$$b$;$b$; SELECT 2;
