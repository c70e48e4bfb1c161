BEGIN;
SET standard_conforming_strings = off;
SELECT '\';';
ROLLBACK;
SELECT '\'; SELECT 2;
