-- Take the first products out again.
DELETE FROM shop.products
WHERE sku IN ('MUG-1', 'PEN-1', 'BAG-1', 'CUP-1', 'USB-1', 'INK-1', 'TIE-1');
