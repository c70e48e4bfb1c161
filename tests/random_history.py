"""Histories as teams make them: lines, branches, merges, labels, dependencies, odd files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

ENV = "from alembic import context\n"
WRAPPER = '''"""{doc}

Revision ID: {id}
Revises: {shown}
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op

revision = {id!r}
down_revision = {down!r}
branch_labels = {label!r}
depends_on = {depends!r}

source = '{id}.sql'
undo = '{id}.down.sql'


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
'''
EMPTY = '''"""{doc}

Revision ID: {id}
Revises: {shown}
Create Date: 2026-11-24 05:02:58+00:00
"""

from alembic import op
import sqlalchemy as sa


revision = {id!r}
down_revision = {down!r}
branch_labels = {label!r}
depends_on = {depends!r}


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
'''
PYTHON = '''"""{doc}"""
import sqlalchemy as sa
from alembic import op

revision: str = "{id}"
down_revision = {down!r}
branch_labels = {label!r}
depends_on = {depends!r}
source = "not a wrapper"


def upgrade():
    op.execute(sa.text("SELECT 1"))


def downgrade():
    ...
'''
TEXTS = (WRAPPER, WRAPPER, WRAPPER, EMPTY, PYTHON)
DOCS = ("add users", 'the "best" one', "two\nlines", "Grüße", "  indented\n    more")


@dataclass(frozen=True)
class Made:
    """One revision file."""

    id: str
    down: tuple[str, ...]
    depends: str | None
    label: str | None
    text: str
    doc: str

    def write(self, folder: Path) -> None:
        """Write the file."""
        down = None if not self.down else self.down[0] if len(self.down) == 1 else self.down
        (folder / f"{self.id}_x.py").write_text(
            self.text.format(
                id=self.id,
                down=down,
                shown=", ".join(self.down),
                depends=self.depends,
                label=self.label,
                doc=self.doc,
            ),
            encoding="utf-8",
        )


def write_project(folder: Path, history: list[Made]) -> Path:
    """Write a project without a database; return its alembic.ini."""
    (folder / "alembic/versions").mkdir(parents=True)
    (folder / "alembic/env.py").write_text(ENV)
    for made in history:
        made.write(folder / "alembic/versions")
    ini = folder / "alembic.ini"
    ini.write_text("[alembic]\nscript_location = %(here)s/alembic\n")
    return ini


@st.composite
def histories(draw: st.DrawFn, plain: bool = False) -> list[Made]:
    """Draw a history of up to fourteen revisions; a ``plain`` one has no far connections."""
    ids = draw(st.lists(st.text("ab12", min_size=2, max_size=4), unique=True, max_size=14))
    return [_made(draw, id_, ids[:at], plain) for at, id_ in enumerate(ids)]


def _made(draw: st.DrawFn, id_: str, earlier: list[str], plain: bool) -> Made:
    latest = earlier[-4:]
    count = draw(st.sampled_from((1, 1, 1, 1, 1, 1, 2, 0)))
    down = tuple(draw(st.permutations(latest))[:count])
    far = not plain and bool(earlier) and draw(st.integers(0, 9)) == 0
    depends = draw(st.sampled_from(earlier)) if far else None
    label = f"label_{id_}" if not plain and draw(st.integers(0, 9)) == 0 else None
    text, doc = draw(st.sampled_from(TEXTS)), draw(st.sampled_from(DOCS))
    return Made(id_, down, depends, label, text, doc)
