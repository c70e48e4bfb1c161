"""order status

Revision ID: 242b83819d98
Revises: f0bb968e019a
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = '242b83819d98'
down_revision = 'f0bb968e019a'
branch_labels = None
depends_on = None

source = '20260112_order_status.up.sql'
undo = '20260112_order_status.down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
