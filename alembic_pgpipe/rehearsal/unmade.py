"""What a scratch server misses and the project's own database has: no file is to blame for it.

Tables that were there before the project was, or that somebody made by hand, are made by no
revision.  A file that alters one of them cannot be tried on an empty server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import TextClause

from alembic_pgpipe.connect.database import open_database
from alembic_pgpipe.connect.target import as_identifier
from alembic_pgpipe.environment.visit import Visit
from alembic_pgpipe.model import Problem, Revision
from alembic_pgpipe.project import visit_project
from alembic_pgpipe.run.step import Sources
from alembic_pgpipe.source.loading import Source
from alembic_pgpipe.source.reader import Statement

MISSING = re.compile(
    r"(?:\A|: )(?:"
    r'column "(?P<column>[^"]+)" of relation "(?P<relation>[^"]+)"'
    r'|(?P<kind>[a-z]+(?: [a-z]+)?) "(?P<name>[^"]+)"'
    r"|(?P<routine>function|procedure|aggregate) (?P<called>[^()]+)\((?P<arguments>.*?)\)"
    r") does not exist"
)
_ASKED = "SELECT bool_or({} IS NOT NULL) FROM unnest(CAST(:names AS text[])) AS name"
_RELATION = text(_ASKED.format("pg_catalog.to_regclass(name)"))
# By the word that the server has for it.
KINDS: Mapping[str, TextClause] = MappingProxyType(
    {
        **dict.fromkeys(
            ("relation", "table", "view", "index", "sequence", "materialized view"), _RELATION
        ),
        "type": text(_ASKED.format("pg_catalog.to_regtype(name)")),
        "schema": text(_ASKED.format("pg_catalog.to_regnamespace(name)")),
        "role": text(_ASKED.format("pg_catalog.to_regrole(name)")),
    }
)
COLUMN = text(
    """
    SELECT EXISTS (
        SELECT FROM unnest(CAST(:names AS text[])) AS name JOIN pg_catalog.pg_attribute
        ON attrelid = pg_catalog.to_regclass(name)
        WHERE attname = :column AND NOT attisdropped
    )
    """
)
ROUTINE = text(_ASKED.format("pg_catalog.to_regprocedure(name || :arguments)"))
TYPES = text(
    """
    SELECT pg_catalog.format_type(pg_catalog.to_regtype(name), NULL)
    FROM unnest(CAST(:names AS text[])) WITH ORDINALITY AS t (name, number) ORDER BY number
    """
)
# A call is understood, and not made: so the server says whether it would find the function.
CALL = "PREPARE pgpipe_call AS SELECT {}({})"
TAKEN = re.compile(r"\b(?:DROP|RENAME|SET\s+SCHEMA)\b", re.I)
ALL_TAKEN = re.compile(r"\bDROP\s+(?:SCHEMA|OWNED|EXTENSION)\b", re.I)


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that a server says does not exist, in its own words.

    ``name`` is not quoted, and may have its schema ahead of it; of a column it is the
    table's.  ``arguments`` are the types that a routine was looked for with.
    """

    kind: str
    name: str
    column: str | None = None
    arguments: str | None = None

    def __str__(self) -> str:
        if self.column is not None:
            return f"column {self.column} of {self.name}"
        arguments = f"({self.arguments})" if self.arguments is not None else ""
        return f"{self.kind} {self.name}{arguments}"

    def is_in(self, connection: Connection) -> bool:
        """Return whether a database has it; False where it cannot be asked for."""
        try:
            return self._is_in(connection)
        except DBAPIError:
            return False

    def _is_in(self, connection: Connection) -> bool:
        names = {"names": list(_quoted(self.name.removesuffix("[]")))}
        if self.column is not None:
            return bool(connection.scalar(COLUMN, {**names, "column": self.column}))
        if self.arguments is None:
            return bool(connection.scalar(KINDS[self.kind], names))
        exact = {**names, "arguments": f"({self.arguments})"}
        return bool(connection.scalar(ROUTINE, exact)) or self._can_be_called(connection)

    def _can_be_called(self, connection: Connection) -> bool:
        wanted = re.split(r", ", self.arguments) if self.arguments else []
        found = connection.scalars(TYPES, {"names": wanted}).all()
        given = [
            "NULL" if name == "unknown" else f"NULL::{known}"
            for name, known in zip(wanted, found, strict=True)
        ]
        return any(_understands(connection, n, given) for n in _quoted(self.name))

    def is_taken_by(self, statement: Statement) -> bool:
        """Return whether a statement may drop it, or give it another name."""
        if ALL_TAKEN.search(statement.text):
            return True
        name = re.escape(self.column or self.name.rpartition(".")[2])
        named = re.search(rf"(?<![\w$]){name}(?![\w$])", statement.text, re.I)
        return named is not None and TAKEN.search(statement.text) is not None


def read_missing(message: str) -> Missing | None:
    """Return what a message says does not exist, where the databases can be asked for it."""
    found = MISSING.search(message)
    if found is None:
        return None
    if found["column"] is not None:
        return Missing("column", found["relation"], column=found["column"])
    if found["routine"] is not None:
        return Missing(found["routine"], found["called"], arguments=found["arguments"])
    return Missing(found["kind"], found["name"]) if found["kind"] in KINDS else None


def unmade(config: Config, problem: Problem, pending: Sequence[Revision]) -> Missing | None:
    """Return what a scratch server missed, where the project's own database has it.

    None where it is missing there too, and where a pending source takes it away ahead of the
    problem's place.
    """
    missing = read_missing(problem.message)
    if missing is None:
        return None

    def look(visit: Visit) -> bool:
        sources = tuple(_up_to(problem, pending, Sources(visit.settings)))
        ahead = (statement for source in sources for statement in _ahead(source, problem))
        if any(map(missing.is_taken_by, ahead)):
            return False
        own = (s.directives.database for s in sources if s.path == problem.file)
        return _has(visit, next(own, None), missing)

    return missing if visit_project(config, look) else None


def _has(visit: Visit, name: str | None, missing: Missing) -> bool:
    """Ask the project's database, or another one on its server."""
    with open_database(visit.settings, visit.environ, hide=visit.hide) as own:
        database = own if name is None else own.elsewhere(name, "the directive database")
        with database.connect(autocommit=True, own=False) as connection:
            return missing.is_in(connection)


def _up_to(problem: Problem, pending: Iterable[Revision], sources: Sources) -> Iterator[Source]:
    """Yield the pending sources that run ahead of a problem, and the one that it is in."""
    for revision in pending:
        if revision.source is None or sources.facts(revision).skip:
            continue
        source = sources.load(revision.source)
        yield source
        if source.path == problem.file:
            return


def _ahead(source: Source, problem: Problem) -> Iterator[Statement]:
    """Yield the statements of a source that are done when the problem is met."""
    if source.path != problem.file or not problem.line:
        yield from source.statements()
        return
    for one, following in pairwise(source.statements()):
        if (following.line, following.column) <= (problem.line, problem.column):
            yield one


def _understands(connection: Connection, name: str, given: Sequence[str]) -> bool:
    call = CALL.format(name, ", ".join(given)).replace("%", "%%")
    try:
        connection.exec_driver_sql(call)
        connection.exec_driver_sql("DEALLOCATE pgpipe_call")
    except DBAPIError:
        return False
    return True


def _quoted(name: str) -> Iterator[str]:
    """Yield the ways in which a name without quotes can be meant: with a schema, or whole."""
    yield as_identifier(name)
    schema, dot, rest = name.partition(".")
    if dot:
        yield f"{as_identifier(schema)}.{as_identifier(rest)}"
