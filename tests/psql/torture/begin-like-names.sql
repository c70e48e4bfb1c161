CREATE TABLE begin_log (begin_at int, "begin" int, case_id int); SELECT begin_at FROM begin_log; CREATE VIEW v AS SELECT CASE WHEN true THEN 1 END AS begin; SELECT 1;
