"""first orders

Revision ID: 0576c75b944f
Revises: 69acc219c9d8
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = '0576c75b944f'
down_revision = '69acc219c9d8'
branch_labels = None
depends_on = None

source = '20260127_first_orders/migration.sql'
undo = '20260127_first_orders/down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
