-- Create the table of customers.
BEGIN;

CREATE TABLE shop.customers (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email      text NOT NULL,
    name       text NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- One account per address, however it is spelled.
CREATE UNIQUE INDEX customers_email_key ON shop.customers (lower(email));

COMMIT;
