SELECT $a$;$b$;$$;$a$; SELECT $_$;$_$, $A1$;$a1$;$A1$;
