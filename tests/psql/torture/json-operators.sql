SELECT '{"a": ";"}'::jsonb @? '$.a ? (@ == ";")', j #>> '{a,b}', j ?| ARRAY['a;'], j @@ '$[*] > 1', a ->> 'b;' FROM t; SELECT 1;
