/*+ SeqScan(t) */ SELECT * FROM t;
/*+ IndexScan(t) */
-- why
SELECT 2;
