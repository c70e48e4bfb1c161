SELECT a[1:2], a[:2], a[1:], a[:], a[b:c]; SELECT 1;
