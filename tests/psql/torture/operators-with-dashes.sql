SELECT 1 - - 1; SELECT 1-1; SELECT a ?- b; SELECT a ?-| b; SELECT a->b->>'c;'; SELECT -1;SELECT 2;
