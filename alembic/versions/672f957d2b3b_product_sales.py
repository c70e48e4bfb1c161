"""product sales

Revision ID: 672f957d2b3b
Revises: f886888b102b
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = '672f957d2b3b'
down_revision = 'f886888b102b'
branch_labels = None
depends_on = None

source = '20260309_product_sales.sql'
undo = '20260309_product_sales.down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
