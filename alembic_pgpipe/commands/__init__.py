"""One module per verb: a typed function of Alembic's ``Config`` that returns data."""
