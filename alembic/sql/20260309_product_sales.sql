-- Show the reports what was sold per product.
CREATE VIEW shop.product_sales AS
SELECT p.sku, p.name, coalesce(sum(l.quantity), 0) AS pieces
FROM shop.products AS p
LEFT JOIN shop.order_lines AS l ON l.sku = p.sku
GROUP BY p.sku, p.name;

COMMENT ON VIEW shop.product_sales IS $$Includes products that nobody bought: "pieces" is 0$$;
