set Standard_Conforming_Strings=false;
SELECT '\';';
SET standard_conforming_strings TO yes;
SELECT '\';
SELECT 2;
