"""Ship raw SQL and stored procedures to PostgreSQL through Alembic."""
