SELECT $é$;$e$;$é$; SELECT $表1$;$表1$; SELECT 2;
