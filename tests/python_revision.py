"""A Python revision that runs a source of its own choice."""

from __future__ import annotations

RUNS_A_PART = """\
from alembic import op

revision = "py"
down_revision = None


def upgrade():
    op.run_source("parts/one.sql")


def downgrade():
    pass
"""
