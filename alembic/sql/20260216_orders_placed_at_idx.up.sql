-- Index orders by date without stopping the shop: alone in its file, outside a transaction.
CREATE INDEX CONCURRENTLY orders_placed_at_idx ON shop.orders (placed_at);
