-- Create the table of products.
CREATE TABLE shop.products (
    sku         text PRIMARY KEY CHECK (sku ~ '^[A-Z]+-[0-9]+$'),
    name        text NOT NULL,
    description text NOT NULL DEFAULT '',
    price       numeric(10, 2) NOT NULL CHECK (price >= 0)
);

COMMENT ON COLUMN shop.products.price IS 'What one piece costs today, in euros; VAT (20 %) included';
