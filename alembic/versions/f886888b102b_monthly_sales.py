"""monthly sales

Revision ID: f886888b102b
Revises: 789bb5c554b0
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = 'f886888b102b'
down_revision = '789bb5c554b0'
branch_labels = None
depends_on = None

source = '20260302_monthly_sales.sql'
undo = '20260302_monthly_sales.down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
