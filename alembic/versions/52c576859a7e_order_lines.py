"""order lines

Revision ID: 52c576859a7e
Revises: 8ab699126df0
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = '52c576859a7e'
down_revision = '8ab699126df0'
branch_labels = None
depends_on = None

source = '20260114_order_lines.sql'
undo = '20260114_order_lines.down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
