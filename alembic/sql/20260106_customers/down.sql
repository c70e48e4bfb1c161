-- Drop the table of customers.
BEGIN;

DROP TABLE shop.customers;

COMMIT;
