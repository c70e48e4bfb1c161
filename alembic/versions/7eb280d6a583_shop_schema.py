"""shop schema

Revision ID: 7eb280d6a583
Revises: 
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = '7eb280d6a583'
down_revision = None
branch_labels = None
depends_on = None

source = '20260105_shop_schema.sql'
undo = '20260105_shop_schema.down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
