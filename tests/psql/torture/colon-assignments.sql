CALL p(a := 1, b => 2); DO $$ BEGIN x := 1; END $$; SELECT 1;
