/* head;

   of the file */
SELECT 1
/* middle;

*/
, 2; SELECT 3;
