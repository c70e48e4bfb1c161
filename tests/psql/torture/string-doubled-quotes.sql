SELECT 'it''s;', '''', '''a''', '''''';SELECT '';
