-- Keep the sales of each month at hand, for the reports.
-- pgpipe: statement_timeout = 1min
CREATE MATERIALIZED VIEW shop.monthly_sales AS
SELECT
    date_trunc('month', o.placed_at AT TIME ZONE 'UTC')::date AS month,
    count(DISTINCT o.id) AS orders,
    round(sum(l.quantity * l.unit_price * (1 - o.discount / 100)), 2) AS total
FROM shop.orders AS o
JOIN shop.order_lines AS l ON l.order_id = o.id
WHERE o.status <> 'cancelled'
GROUP BY 1;

-- REFRESH MATERIALIZED VIEW CONCURRENTLY asks for a unique index.
CREATE UNIQUE INDEX monthly_sales_month_key ON shop.monthly_sales (month);
