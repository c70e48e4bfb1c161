SELECT B'10;1', b'', X'1F;', x'ff'; SELECT B'\'; SELECT X'\'; SELECT 2;
