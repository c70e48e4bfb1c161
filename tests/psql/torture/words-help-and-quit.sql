help;
quit;
exit;
SELECT 1;
