SELECT a$b$c; SELECT a$$; SELECT x$1$y$; SELECT t.a$b$.c; SELECT 2;
