SELECT foob'a;'; SELECT linex'\'; SELECT fun'\'; SELECT 2;
