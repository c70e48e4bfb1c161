-- Create the states that an order goes through.
CREATE TYPE shop.order_status AS ENUM ('open', 'paid', 'shipped', 'closed', 'cancelled');
