-- Drop the table of products.
DROP TABLE shop.products;
