"""Projects to measure with: histories of any length, written as the template writes them."""

from __future__ import annotations

import compileall
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from alembic.util import format_as_comma
from mako.template import Template

import alembic_pgpipe
from alembic_pgpipe.commands.init import template
from alembic_pgpipe.revisions.wrapper import Wrapper, packaged_template, revision_id

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
class Writer:
    """Writes revisions by the package's own template."""

    template: Template = field(
        default_factory=lambda: Template(filename=str(packaged_template()))
    )

    def text(
        self,
        wrapper: Wrapper,
        branch_labels: str | None = None,
        depends_on: str | None = None,
    ) -> str:
        """Return the text of a revision; one without a source is an empty one."""
        down = wrapper.down_revision
        rendered: str = self.template.render(
            up_revision=wrapper.revision,
            down_revision=down if len(down) > 1 else down[0] if down else None,
            branch_labels=branch_labels,
            depends_on=depends_on,
            create_date="2026-01-01 00:00:00+00:00",
            comma=format_as_comma,
            message=wrapper.message,
            wrapper=wrapper,
        )
        return rendered


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

    @property
    def source(self) -> str | None:
        """Return its source; a merge has none."""
        return None if self.is_merge else f"{self.name}.sql"


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


def compile_package() -> None:
    """Compile this package, as pip does where it installs one."""
    compileall.compile_dir(Path(alembic_pgpipe.__file__).parent, quiet=2)


def write_project(folder: Path, history: Iterator[Planned], *, plain: bool = False) -> None:
    """Write a project with its sources; ``plain`` is one for Alembic alone."""
    versions, sources = folder / "alembic/versions", folder / "alembic/sql"
    versions.mkdir(parents=True)
    sources.mkdir()
    (folder / "alembic/env.py").write_text(PLAIN_ENV if plain else template("env.py"))
    (folder / "alembic/script.py.mako").write_text(template("script.py.mako"))
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/alembic\n")
    writer = Writer()
    for planned in history:
        wrapper = Wrapper(planned.id, planned.down, planned.name, planned.source, None)
        (versions / f"{planned.id}_step.py").write_text(writer.text(wrapper))
        if planned.source:
            sql = f"CREATE TABLE t{planned.id} (id int);\n"
            (sources / planned.source).write_text(sql)
