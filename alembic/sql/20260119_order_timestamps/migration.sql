-- Record when an order last changed, with a trigger.
-- pgpipe: lock_timeout = 5s
ALTER TABLE shop.orders ADD COLUMN changed_at timestamptz;

CREATE FUNCTION shop.note_order_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_at := now();
    RETURN NEW;
END;
$$;

CREATE TRIGGER note_order_change
BEFORE UPDATE ON shop.orders
FOR EACH ROW
WHEN (OLD.* IS DISTINCT FROM NEW.*)
EXECUTE FUNCTION shop.note_order_change();
