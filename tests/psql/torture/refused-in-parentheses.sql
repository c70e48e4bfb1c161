SELECT (
\d
1);
