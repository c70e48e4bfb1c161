-- What an order costs, its discount taken off.
CREATE OR REPLACE FUNCTION shop.order_total(wanted bigint) RETURNS numeric
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(round(sum(l.quantity * l.unit_price * (1 - o.discount / 100)), 2), 0)
    FROM shop.orders AS o
    JOIN shop.order_lines AS l ON l.order_id = o.id
    WHERE o.id = wanted;
END;
