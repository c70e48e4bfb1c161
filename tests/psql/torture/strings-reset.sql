SET standard_conforming_strings = off;
RESET standard_conforming_strings;
SELECT '\'; SELECT 1;
SET standard_conforming_strings = off;
RESET ALL;
SELECT '\'; SELECT 2;
SET standard_conforming_strings = off;
DISCARD ALL;
SELECT '\'; SELECT 3;
