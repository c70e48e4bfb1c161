-- Stop recording when an order last changed.
-- pgpipe: lock_timeout = 5s
DROP TRIGGER note_order_change ON shop.orders;

DROP FUNCTION shop.note_order_change();

ALTER TABLE shop.orders DROP COLUMN changed_at;
