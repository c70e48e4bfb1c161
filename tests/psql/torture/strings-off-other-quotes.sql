SET standard_conforming_strings = off;
SELECT N'\';', B'\', X'\', U&'\', "\", $$\$$; SELECT 2;
