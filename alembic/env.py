"""Alembic's environment: alembic-pgpipe connects, runs and records."""

from alembic import context

from alembic_pgpipe.environment import run

# For autogenerate, pass the metadata of your models: run(context, target_metadata=…).
run(context)
