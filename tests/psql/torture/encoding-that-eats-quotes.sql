SET client_encoding = 'SJIS';
SELECT 'あ'; SELECT 2;
SELECT 3; -- '
