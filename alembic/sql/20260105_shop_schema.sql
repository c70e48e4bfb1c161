-- Create the schema that holds everything about orders.
CREATE SCHEMA shop;

COMMENT ON SCHEMA shop IS 'Customers, products and orders';
