"""Histories as teams make them: lines, branches, merges, labels, dependencies, odd files."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from hypothesis import strategies as st

from alembic_pgpipe.revisions.wrapper import Wrapper
from benchmarks.projects import Writer

ENV = "from alembic import context\n"
PYTHON = '''"""{doc}"""
import sqlalchemy as sa
from alembic import op

revision: str = "{id}"
down_revision = {down!r} or None
branch_labels = {label!r}
depends_on = {depends!r}
source = "not a wrapper"


def upgrade():
    op.execute(sa.text("{runs}"))


def downgrade():
    op.execute(sa.text("{undoes}"))
'''
DOCS = ("add users", 'the "best" one', "two\nlines", "Grüße", "  indented\n    more")


class Kind(Enum):
    """What a revision's file looks like: by the template, with a source or without, or not."""

    WRAPPER = "wrapper"
    EMPTY = "empty"
    PYTHON = "python"


@dataclass(frozen=True)
class Made:
    """One revision file."""

    id: str
    down: tuple[str, ...] = ()
    depends: str | None = None
    label: str | None = None
    kind: Kind = Kind.WRAPPER
    doc: str = "add users"

    def text(self, writer: Writer) -> str:
        """Return what stands in the file."""
        if self.kind is Kind.PYTHON:
            sql = {"runs": self.sql("up"), "undoes": self.sql("down")}
            return PYTHON.format(**vars(self), **sql)
        files: tuple[str | None, str | None] = (None, None)
        if self.kind is Kind.WRAPPER:
            files = (f"{self.id}.sql", f"{self.id}.down.sql")
        wrapper = Wrapper(self.id, self.down, self.doc, *files)
        return writer.text(wrapper, self.label, self.depends)

    def sql(self, way: str) -> str:
        """Return what it runs upwards or downwards, in a database with a table for it."""
        return f"INSERT INTO ran (step) VALUES ('{way} {self.id}')"


def write_project(folder: Path, history: list[Made]) -> Path:
    """Write a project without a database; return its alembic.ini."""
    (folder / "alembic/versions").mkdir(parents=True)
    (folder / "alembic/env.py").write_text(ENV)
    writer = Writer()
    for made in history:
        path = folder / f"alembic/versions/{made.id}_x.py"
        path.write_text(made.text(writer), encoding="utf-8")
    ini = folder / "alembic.ini"
    ini.write_text("[alembic]\nscript_location = %(here)s/alembic\n")
    return ini


@st.composite
def histories(draw: st.DrawFn) -> list[Made]:
    """Draw a history of up to fourteen revisions; every other one has no far connections."""
    ids = draw(st.lists(st.text("ab12", min_size=2, max_size=4), unique=True, max_size=14))
    plain = draw(st.booleans())
    return [_made(draw, id_, ids[:at], plain) for at, id_ in enumerate(ids)]


def _made(draw: st.DrawFn, id_: str, earlier: list[str], plain: bool) -> Made:
    latest = earlier[-4:]
    count = draw(st.sampled_from((1, 1, 1, 1, 1, 1, 2, 0)))
    down = tuple(draw(st.permutations(latest))[:count])
    far = not plain and bool(earlier) and draw(st.integers(0, 9)) == 0
    depends = draw(st.sampled_from(earlier)) if far else None
    label = f"label_{id_}" if not plain and draw(st.integers(0, 9)) == 0 else None
    kind = draw(st.sampled_from((*Kind, Kind.WRAPPER, Kind.WRAPPER)))
    return Made(id_, down, depends, label, kind, draw(st.sampled_from(DOCS)))
