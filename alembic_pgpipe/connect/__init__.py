"""The way to the database: which one it is, connections, TLS, the lock."""
