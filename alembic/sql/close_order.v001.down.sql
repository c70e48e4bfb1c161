DROP PROCEDURE shop.close_order;
