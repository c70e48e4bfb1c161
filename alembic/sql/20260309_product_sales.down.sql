-- Stop showing what was sold per product.
DROP VIEW shop.product_sales;
