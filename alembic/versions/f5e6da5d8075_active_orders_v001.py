"""active_orders.v001

Revision ID: f5e6da5d8075
Revises: 672f957d2b3b
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = 'f5e6da5d8075'
down_revision = '672f957d2b3b'
branch_labels = None
depends_on = None

source = 'active_orders.v001.sql'
undo = 'active_orders.v001.down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
