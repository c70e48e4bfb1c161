"""order discount

Revision ID: ada8b7450a64
Revises: 0576c75b944f
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = 'ada8b7450a64'
down_revision = '0576c75b944f'
branch_labels = None
depends_on = None

source = '20260209_order_discount.sql'
undo = '20260209_order_discount.down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
