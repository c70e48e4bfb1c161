SELECT '\'; SELECT 'a\\'; SELECT '\n;\';
