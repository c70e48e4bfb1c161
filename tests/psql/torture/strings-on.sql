SET standard_conforming_strings = on;
SELECT '\'; SELECT 2;
