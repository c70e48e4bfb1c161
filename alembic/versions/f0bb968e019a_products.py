"""products

Revision ID: f0bb968e019a
Revises: 07461c3902e6
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = 'f0bb968e019a'
down_revision = '07461c3902e6'
branch_labels = None
depends_on = None

source = '20260107_products.sql'
undo = '20260107_products.down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
