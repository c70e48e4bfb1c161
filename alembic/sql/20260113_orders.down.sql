-- Drop the table of orders.
-- pgpipe: lock_timeout = 5s
DROP TABLE shop.orders;
