--
-- dump
--

\restrict k

SET client_encoding = 'UTF8';
SELECT pg_catalog.set_config('search_path', '', false);
COPY public.t (a) FROM stdin;
1
\.

--
-- complete
--

\unrestrict k
