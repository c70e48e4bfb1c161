"""first products

Revision ID: 69acc219c9d8
Revises: ac23b409d59e
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = '69acc219c9d8'
down_revision = 'ac23b409d59e'
branch_labels = None
depends_on = None

source = '20260126_first_products.sql'
undo = '20260126_first_products.down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
