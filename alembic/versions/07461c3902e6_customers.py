"""customers

Revision ID: 07461c3902e6
Revises: 7eb280d6a583
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = '07461c3902e6'
down_revision = '7eb280d6a583'
branch_labels = None
depends_on = None

source = '20260106_customers/migration.sql'
undo = '20260106_customers/down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
