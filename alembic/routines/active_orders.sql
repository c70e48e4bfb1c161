-- The orders that still need somebody's attention, oldest first.
CREATE OR REPLACE VIEW shop.active_orders AS
SELECT o.id, c.name AS customer, o.status, o.placed_at
FROM shop.orders AS o
JOIN shop.customers AS c ON c.id = o.customer_id
WHERE o.status IN ('open', 'paid')
ORDER BY o.placed_at;
