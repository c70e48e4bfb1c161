-- Fill in the first products; their texts reach the server exactly as written here.
INSERT INTO shop.products (sku, name, description, price) VALUES
    ('MUG-1', 'Mug ''Good morning''', '100% porcelain; 5 % off from 10 pieces on', 9.90),
    ('PEN-1', 'Pen "Quick & quiet"', 'Writes %s, %(name)s, :name, ::text, {braces}, $1 and $$', 2.50),
    ('BAG-1', 'Bag – Größe XL', 'Naïve café, 日本語, Ελληνικά: all of it fits in ✓', 24.00),
    ('CUP-1', 'Cup', '-- not a comment; /* nor is this */', 4.20),
    ('USB-1', 'USB stick', 'Drivers in C:\new\temp; run as %USERNAME%', 12.00),
    ('INK-1', 'Ink', E'Two lines:\nblack\\blue', 7.75);

INSERT INTO shop.products (sku, name, description, price)
VALUES ('TIE-1', $name$Tie 'n' $$ clip$name$, $$It's "formal"; mostly$$, 19.00);
