-- head
/* more */ \restrict abc
SELECT 2; /* x */\unrestrict abc
SELECT 3
