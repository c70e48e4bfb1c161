-- Orders no longer carry a discount; the constraint goes with its column.
-- pgpipe: lock_timeout = 5s
ALTER TABLE shop.orders DROP COLUMN discount;
