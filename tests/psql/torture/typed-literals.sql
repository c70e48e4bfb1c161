SELECT DATE '2020;01', interval '1;day', int4'1;'; SELECT 2;
