SELECT 2*/*;*/3; SELECT 4-/*;*/-1; SELECT 5+--;
6; SELECT 8/-2; SELECT 1 @-- ;
 2;
