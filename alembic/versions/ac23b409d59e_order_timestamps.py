"""order timestamps

Revision ID: ac23b409d59e
Revises: 52c576859a7e
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = 'ac23b409d59e'
down_revision = '52c576859a7e'
branch_labels = None
depends_on = None

source = '20260119_order_timestamps/migration.sql'
undo = '20260119_order_timestamps/down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
