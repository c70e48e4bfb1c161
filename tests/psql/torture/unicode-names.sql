CREATE TABLE größe (ñandú int, 表 text); SELECT 表 FROM größe;
SELECT 'é' AS é$1;
