-- Close a shipped order; anything else is an error.
CREATE OR REPLACE PROCEDURE shop.close_order(wanted bigint)
LANGUAGE plpgsql AS $$
DECLARE
    found_status shop.order_status;
BEGIN
    SELECT o.status INTO found_status FROM shop.orders AS o WHERE o.id = wanted FOR UPDATE;
    IF found_status IS DISTINCT FROM 'shipped' THEN
        RAISE EXCEPTION 'order % cannot be closed: it is %', wanted, coalesce(found_status::text, 'unknown')
            USING HINT = 'Only a shipped order can be closed.';
    END IF;
    UPDATE shop.orders SET status = 'closed' WHERE id = wanted;
END;
$$;
