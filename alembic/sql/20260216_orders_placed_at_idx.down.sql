-- Drop the index on the date of orders without stopping the shop.
DROP INDEX CONCURRENTLY shop.orders_placed_at_idx;
