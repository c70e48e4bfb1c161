<%!
from alembic_pgpipe.revisions.template import in_docstring, wrapper_for
%>\
<% source, undo = wrapper_for(context.kwargs) %>\
"""${message | in_docstring}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
Create Date: ${create_date}
"""

from alembic import op
% if not source:
import sqlalchemy as sa
${context.kwargs.get("imports") or ""}
% endif

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}
% if source:

source = ${repr(source)}
undo = ${repr(undo)}


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
% else:


def upgrade() -> None:
    ${context.kwargs.get("upgrades") or "pass"}


def downgrade() -> None:
    ${context.kwargs.get("downgrades") or "pass"}
% endif
