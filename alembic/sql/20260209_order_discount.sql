-- Let an order carry a discount in percent.
-- pgpipe: lock_timeout = 5s
-- pgpipe: statement_timeout = 1min
ALTER TABLE shop.orders
    ADD COLUMN discount numeric(4, 1) NOT NULL DEFAULT 0,
    ADD CONSTRAINT orders_discount_check CHECK (discount BETWEEN 0 AND 100);
