SELECT N'a;\', n'b''c;'; SELECT N'\'; SELECT 2;
