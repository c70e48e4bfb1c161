SELECT E'it''s\';'; SELECT E''''; SELECT E'\''';'; SELECT 2;
