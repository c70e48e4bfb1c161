CREATE OPERATOR /*; */ @#@ (PROCEDURE = f); SELECT 1 <-- ;
 2; SELECT 1 !/* ; */ 3; SELECT 4;
