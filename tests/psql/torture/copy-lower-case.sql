copy public.t (a) from stdin with (format text);
1
\.
select 1;
