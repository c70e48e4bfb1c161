-- Drop the table of order lines.
-- pgpipe: lock_timeout = 5s
DROP TABLE shop.order_lines;
