DROP VIEW shop.active_orders;
