-- Create the table of order lines, which keep the price of the day of the order.
-- pgpipe: lock_timeout = 5s
CREATE TABLE shop.order_lines (
    order_id   bigint NOT NULL REFERENCES shop.orders (id) ON DELETE CASCADE,
    line       integer NOT NULL CHECK (line > 0),
    sku        text NOT NULL REFERENCES shop.products (sku),
    quantity   integer NOT NULL CHECK (quantity > 0),
    unit_price numeric(10, 2) NOT NULL CHECK (unit_price >= 0),
    PRIMARY KEY (order_id, line)
);

CREATE INDEX order_lines_sku_idx ON shop.order_lines (sku);
