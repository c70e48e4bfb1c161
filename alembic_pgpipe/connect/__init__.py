"""The way to the database: URLs, secrets, connections, the lock."""
