SELECT $$\d; \. \$$; SELECT $$
\.
$$; SELECT 2;
