SET LOCAL standard_conforming_strings = off;
SELECT '\'; SELECT 2;
