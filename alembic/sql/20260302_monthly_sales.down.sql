-- Drop the sales of each month.
DROP MATERIALIZED VIEW shop.monthly_sales;
