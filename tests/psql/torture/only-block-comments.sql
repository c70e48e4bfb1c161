/* one */ /* two; */
/* three
   four */
