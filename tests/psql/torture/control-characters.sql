SELECT ';[0m', 1 ; SELECT '';
