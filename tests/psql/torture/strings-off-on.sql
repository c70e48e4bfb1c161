SET standard_conforming_strings TO 'off';
SELECT '\';';
SET SESSION standard_conforming_strings TO on;
SELECT '\';
SELECT 2;
