"""orders

Revision ID: 8ab699126df0
Revises: 242b83819d98
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = '8ab699126df0'
down_revision = '242b83819d98'
branch_labels = None
depends_on = None

source = '20260113_orders.up.sql'
undo = '20260113_orders.down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
