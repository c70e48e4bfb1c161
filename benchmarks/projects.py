"""Projects to measure with: histories of any length, written as the template writes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from alembic_pgpipe.commands.init import template
from alembic_pgpipe.revisions.wrapper import revision_id

HEAD = '''"""{name}

Revision ID: {id}
Revises: {revises}
Create Date: 2026-01-01 00:00:00+00:00
"""

from alembic import op
'''
DECLARED = """
revision = {id!r}
down_revision = {down!r}
branch_labels = None
depends_on = None
"""
WRAPPER = f"""{HEAD}{DECLARED}
source = {{source!r}}
undo = {{undo!r}}


def upgrade() -> None:
    op.run_source(source)


def downgrade() -> None:
    op.run_source(undo)
"""
MERGE = f"""{HEAD}import sqlalchemy as sa

{DECLARED}

def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
"""
# What Alembic's own users write, as short as it can be.
PLAIN_ENV = """\
import os

from alembic import context
from sqlalchemy import create_engine

with create_engine("postgresql+psycopg2://").connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""
# Two branches and their merge, and seven revisions that follow each other.
STRETCH = 10


@dataclass(frozen=True, slots=True)
class Planned:
    """A revision to be written."""

    name: str
    down: tuple[str, ...]
    is_merge: bool = False

    @property
    def id(self) -> str:
        """Return the revision's id."""
        return revision_id(self.name)


def line(count: int) -> Iterator[Planned]:
    """Yield revisions of which each builds on the one before it."""
    before: tuple[str, ...] = ()
    for number in range(count):
        planned = Planned(f"{number:06}_step", before)
        before = (planned.id,)
        yield planned


def braid(count: int) -> Iterator[Planned]:
    """Yield revisions of which every tenth merges two branches."""
    before: tuple[str, ...] = ()
    for number in range(0, count, STRETCH):
        left, right = (Planned(f"{number + n:06}_step", before) for n in (0, 1))
        merge = Planned(f"{number + 2:06}_merge", (left.id, right.id), is_merge=True)
        yield from (left, right, merge)
        before = (merge.id,)
        for further in range(number + 3, number + STRETCH):
            planned = Planned(f"{further:06}_step", before)
            before = (planned.id,)
            yield planned


def write_project(folder: Path, history: Iterator[Planned], *, plain: bool = False) -> None:
    """Write a project with its sources; ``plain`` is one for Alembic alone."""
    versions, sources = folder / "alembic/versions", folder / "alembic/sql"
    versions.mkdir(parents=True)
    sources.mkdir()
    (folder / "alembic/env.py").write_text(PLAIN_ENV if plain else template("env.py"))
    (folder / "alembic/script.py.mako").write_text(template("script.py.mako"))
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/alembic\n")
    for planned in history:
        _write(planned, versions, sources)


def _write(planned: Planned, versions: Path, sources: Path) -> None:
    down = planned.down
    text = (MERGE if planned.is_merge else WRAPPER).format(
        name=planned.name,
        id=planned.id,
        revises=", ".join(down),
        down=down if len(down) > 1 else down[0] if down else None,
        source=f"{planned.name}.sql",
        undo=f"{planned.name}.down.sql",
    )
    (versions / f"{planned.id}_step.py").write_text(text)
    if not planned.is_merge:
        (sources / f"{planned.name}.sql").write_text(f"CREATE TABLE t{planned.id} (id int);\n")
