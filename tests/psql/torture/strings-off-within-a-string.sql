SET standard_conforming_strings = off; SELECT 'a
\'; SELECT 1;
SELECT '\';'; SELECT 2;
