GRANT SELECT ON t TO "a;b"; COMMENT ON TABLE t IS E'it\'s; so'; CREATE TYPE e AS ENUM ('a;', 'b''c;'); SELECT 1;
