-- Drop the states of an order.
DROP TYPE shop.order_status;
