"""Real histories of other projects, and a database described as their truth files are.

They are data of others and no part of this repository: a folder ``shared`` beside it may
hold them.  Without it, the tests that use them are skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL

from alembic_pgpipe.scratch.server import ScratchServer
from tests.project import Project
from tests.surroundings import libpq

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"
# What pg_dump says about itself and its session.
NOT_SCHEMA = re.compile(r"\s*$|--|SET |SELECT pg_catalog\.set_config\(|\\(un)?restrict ")
# From PostgreSQL 18 on, this constraint has a name; the truth was made by an older one.
NAMED_NOT_NULL = re.compile(r' CONSTRAINT (?:"(?:[^"]|"")+"|\S+) NOT NULL')
# The order of a table's rows is no part of the truth.
ROWS = "SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM {} AS t"

# Table → how many rows, and their digest: "" where there is none.
Rows = dict[str, tuple[int, str]]


@dataclass(frozen=True)
class History:
    """The files of a real project, and what psql made of them."""

    folder: Path

    def files(self) -> list[Path]:
        """Return its SQL files."""
        return sorted(file for file in (self.folder / "src").rglob("*.sql") if file.is_file())

    def copy_into(self, project: Project, *names: str) -> None:
        """Copy its files as they are, or those of these names; the copies may be edited."""
        for file in self.files():
            if not names or file.name in names:
                copy = project.folder / "alembic/sql" / file.relative_to(self.folder / "src")
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(file.read_bytes())

    def schema(self, truth: str = "truth.schema.sql") -> list[str]:
        """Return the lines of the schema that psql made."""
        lines = (self.folder / truth).read_text("utf-8").splitlines()
        return [line for line in lines if line]

    def rows(self) -> Rows:
        """Return the rows that psql made."""
        truth = json.loads((self.folder / "truth.rows.json").read_text("utf-8"))
        return {table: (count, digest) for table, (count, digest) in truth.items()}


def history(name: str) -> History:
    """Return a real history; skip the test where there is none."""
    folder = CORPORA / name
    if not folder.is_dir():
        pytest.skip(f"the real histories are not here: ../shared/corpora/{name}")
    return History(folder)


@dataclass(frozen=True)
class Dump:
    """``pg_dump`` of the scratch server's major version."""

    program: str

    def schema(self, url: URL, *, without: str) -> list[str]:
        """Return the lines of a database's schema, but for the ledger's."""
        text = self._run(url, "--no-owner", f"--exclude-schema={without}")
        lines = NAMED_NOT_NULL.sub(" NOT NULL", text).splitlines()
        return [line for line in lines if not NOT_SCHEMA.match(line)]

    def whole(self, url: URL) -> list[str]:
        """Return the lines of a database's schema, with owners, as they are."""
        return [line for line in self.text(url).splitlines() if not NOT_SCHEMA.match(line)]

    def text(self, url: URL) -> str:
        """Return all that pg_dump says of a database's schema."""
        return self._run(url)

    def _run(self, url: URL, *options: str) -> str:
        done = subprocess.run(
            [self.program, "--schema-only", *options],
            env={**os.environ, **libpq(url)},
            stdout=subprocess.PIPE,
            check=True,
        )
        return done.stdout.decode("utf-8")


def dump_for(server: ScratchServer) -> Dump:
    """Return the pg_dump that fits a server; skip the test where there is none."""
    beside = str(server.binaries.folder / "pg_dump")
    for program in (beside, shutil.which("pg_dump")):
        if program and _major(program) == server.binaries.major:
            return Dump(program)
    pytest.skip(f"there is no pg_dump of PostgreSQL {server.binaries.major}")


def rows_of(project: Project, *, without: str) -> Rows:
    """Return the rows of each table of a database, but for the ledger's."""
    return {table: _rows(project, table) for table in _tables(project, without)}


def _tables(project: Project, without: str) -> Iterator[str]:
    found = project.query(
        "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_class AS c "
        "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition "
        "AND n.nspname NOT IN (%s, 'pg_catalog', 'information_schema')",
        without,
    )
    return (table for (table,) in found)


def _rows(project: Project, table: str) -> tuple[int, str]:
    [(count, digest)] = project.query(ROWS.format(table))
    return int(count), digest or ""


def _major(program: str) -> str:
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    found = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    return found[1] if found else ""
