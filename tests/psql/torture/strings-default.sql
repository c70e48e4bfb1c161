SET standard_conforming_strings = off;
SET standard_conforming_strings TO DEFAULT;
SELECT '\'; SELECT 2;
