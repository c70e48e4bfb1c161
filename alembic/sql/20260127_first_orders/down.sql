-- Take the orders and customers of the old shop out again; order lines go with their order.
DELETE FROM shop.orders
WHERE placed_at IN ('2025-12-19 16:20:00+00', '2026-01-20 09:30:00+00', '2026-01-21 11:05:00+00')
  AND customer_id IN (
      SELECT c.id
      FROM shop.customers AS c
      WHERE c.email IN ('zoe@example.com', 'juergen@example.com')
  );

DELETE FROM shop.customers WHERE email IN ('zoe@example.com', 'juergen@example.com');
