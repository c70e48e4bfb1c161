-- Remove the schema; it must be empty by then, so nothing is dropped by surprise.
DROP SCHEMA shop;
