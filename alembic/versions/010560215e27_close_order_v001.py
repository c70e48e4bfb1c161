"""close_order.v001

Revision ID: 010560215e27
Revises: f5e6da5d8075
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = '010560215e27'
down_revision = 'f5e6da5d8075'
branch_labels = None
depends_on = None

source = 'close_order.v001.sql'
undo = 'close_order.v001.down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
