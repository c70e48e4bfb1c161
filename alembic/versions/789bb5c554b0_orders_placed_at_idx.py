"""orders placed at idx

Revision ID: 789bb5c554b0
Revises: ada8b7450a64
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = '789bb5c554b0'
down_revision = 'ada8b7450a64'
branch_labels = None
depends_on = None

source = '20260216_orders_placed_at_idx.up.sql'
undo = '20260216_orders_placed_at_idx.down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
