SELECT :'y;', 1; SELECT :"z;", 2; SELECT :{a;SELECT :{?b;SELECT 3;
