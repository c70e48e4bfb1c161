SELECT '1'::int, a::text, 1::numeric(3,2); SELECT now()::date::text;
