"""order_total.v001

Revision ID: 3cbfed71618a
Revises: 010560215e27
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = '3cbfed71618a'
down_revision = '010560215e27'
branch_labels = None
depends_on = None

source = 'order_total.v001.sql'
undo = 'order_total.v001.down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
