"""Working copies tried on the rehearsal: what does a text create, and would it go through?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection

from alembic_pgpipe.objects.definitions import Definition, read_definitions, read_user
from alembic_pgpipe.objects.dependencies import read_graph
from alembic_pgpipe.objects.heads import WITH_ARGUMENTS, head_of, heads
from alembic_pgpipe.objects.held import (
    Address,
    DatabaseObject,
    Kind,
    key,
    read_attached,
    read_indexes,
    read_objects,
    read_parts_of_tables,
)
from alembic_pgpipe.objects.order import in_order
from alembic_pgpipe.rehearsal.database import Rehearsal
from alembic_pgpipe.routines.composed import is_create
from alembic_pgpipe.sending.server_errors import StatementError
from alembic_pgpipe.source.quoting import identifier
from alembic_pgpipe.source.reader import Statement, read_statements

# Something of that name is there and cannot be replaced: an invalid definition of a
# function or a view, another kind of object, a duplicate of each kind.
CANNOT_REPLACE = frozenset({"42P13", "42P16", "42809", "42723", "42P07", "42710"})
MISSING_ROLE = re.compile(r'role "(?P<name>.+)" does not exist')
IF_NOT_EXISTS = re.compile(r"(\ACREATE\s+MATERIALIZED\s+VIEW\s+)IF\s+NOT\s+EXISTS\s+", re.I)
REPLACEABLE = re.compile(
    r"\ACREATE\s+(?=(?:FUNCTION|PROCEDURE|AGGREGATE|VIEW|RECURSIVE\s+VIEW|TRIGGER|RULE)\b)",
    re.I,
)

T = TypeVar("T")


class _Undo(Exception):  # noqa: N818  it is no error
    """Leave a savepoint by rolling back to it."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a stage holds at one moment: objects, and what hangs on views."""

    objects: Mapping[str, DatabaseObject]
    attached: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stage:
    """The rehearsal's database, in which texts are tried."""

    rehearsal: Rehearsal

    def objects(self) -> Mapping[str, DatabaseObject]:
        """Return what the database holds now, by kind and identity."""
        return self.rehearsal.read(_objects)

    def in_order_of_drops(self, objects: Iterable[DatabaseObject]) -> Sequence[DatabaseObject]:
        """Return objects so that each comes ahead of those that it needs."""
        found = {one.address: one for one in objects}
        if len(found) < 2:
            return tuple(found.values())
        graph = read_graph(self.rehearsal.connection, self.objects().values())
        ordered = in_order(found, graph.needs)
        return [found[address] for address in reversed(ordered)]

    def indexes(self, found: DatabaseObject) -> Sequence[str]:
        """Return the statements that create the indexes of a materialized view."""
        if found.kind is not Kind.MATERIALIZED_VIEW:
            return ()
        return read_indexes(self.rehearsal.connection, found)

    def attached(self) -> Mapping[str, str]:
        """Return what goes with views, and what drops it: rules, statistics, defaults."""
        return self.rehearsal.read(read_attached)

    def held(self) -> Held:
        """Return all of it as it is now."""
        return Held(self.objects(), self.attached())

    def definitions(self, objects: Sequence[DatabaseObject]) -> Sequence[Definition]:
        """Return how objects are defined now, in their order."""
        if not objects:
            return ()
        found = read_definitions(self.rehearsal.connection, objects)
        return [found[one.address] for one in objects]

    def parts_of_tables(self) -> frozenset[str]:
        """Return what a DROP with CASCADE takes from tables: columns, defaults and more."""
        return self.rehearsal.read(read_parts_of_tables)

    def command(self, sql: str) -> None:
        """Run a statement of wrap's own."""
        self.rehearsal.command(sql)

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Take back all that is done within the context."""
        try:
            with self.rehearsal.savepoint():
                yield
                raise _Undo
        except _Undo:
            pass

    def create(self, text: str, path: str) -> tuple[DatabaseObject, ...]:
        """Run a working copy's text; return the objects that it creates or replaces.

        Raises StatementError where the server refuses a statement, and SourceError.
        """
        return self._with_roles(lambda: self._create(text, path))

    def _create(self, text: str, path: str) -> tuple[DatabaseObject, ...]:
        created = _Created(self.objects, read_statements(text, path))
        with self.rehearsal.savepoint():
            self.rehearsal.run(text, path, created.see)
        return created.left()

    def run(self, text: str, path: str) -> None:
        """Run what a source is to say.

        Raises StatementError where the server refuses a statement, and SourceError.
        """

        def attempt() -> None:
            with self.rehearsal.savepoint():
                self.rehearsal.run(text, path)

        self._with_roles(attempt)

    def _with_roles(self, attempt: Callable[[], T]) -> T:
        """Attempt something that an error takes back, until no role is missing for it."""
        while True:
            try:
                return attempt()
            except StatementError as error:
                self._make_missing_role(error)

    def _make_missing_role(self, error: StatementError) -> None:
        """Make a role that the databases have and a scratch server has not; or raise."""
        missing = MISSING_ROLE.fullmatch(error.error.message)
        if missing is None:
            raise error
        self.command(f"CREATE ROLE {identifier(missing['name'])} NOLOGIN SUPERUSER")

    def created_by(self, text: str, path: str) -> tuple[DatabaseObject, ...]:
        """Return the objects, as they are now, that a text once created.

        Nothing of it stays.  Raises StatementError where the text cannot be run any more.
        """
        return self._with_roles(lambda: self._created_by(text, path))

    def _created_by(self, text: str, path: str) -> tuple[DatabaseObject, ...]:
        before = self.objects()
        statements = read_statements(text, path)
        created = _Created(self.objects, statements)
        with self.undone():
            for statement in statements:
                if is_create(statement) or statement.words[:1] == ("SET",):
                    self._create_over(statement)
                    created.see(statement)
            names = created.names()
        return tuple(before[name] for name in names if name in before)

    def named_in(self, text: str, path: str) -> tuple[DatabaseObject, ...]:
        """Return the objects that a text creates, as far as its names tell.

        A name without its schema is taken for one in the current schema.
        """
        there = self.objects()
        schema = self.rehearsal.connection.exec_driver_sql("SELECT current_schema()").scalar()
        named = (
            name
            for _, head in heads(read_statements(text, path))
            for name, one in there.items()
            if head.creates(one) and (head.is_qualified or one.schema == schema)
        )
        return tuple(there[name] for name in dict.fromkeys(named))

    def user(self) -> str:
        """Return who runs the texts here."""
        return read_user(self.rehearsal.connection)

    def _create_over(self, statement: Statement) -> None:
        body = IF_NOT_EXISTS.sub(r"\1", statement.text[statement.lead :])
        replacing = statement._replace(
            text=REPLACEABLE.sub("CREATE OR REPLACE ", body, count=1), lead=0
        )
        try:
            with self.rehearsal.savepoint():
                self.rehearsal.send(replacing)
        except StatementError as error:
            dropped = _dropped(statement)
            if error.error.sqlstate not in CANNOT_REPLACE or dropped is None:
                raise
            self.rehearsal.send(statement._replace(text=dropped, lead=0))
            self.rehearsal.send(replacing)


class _Created:
    """Which objects the CREATE statements of a text have written."""

    def __init__(
        self,
        read: Callable[[], Mapping[str, DatabaseObject]],
        statements: Sequence[Statement],
    ) -> None:
        self._read = read
        self._seen = _versions(read().values())
        self._names: dict[str, None] = {}
        # To look takes longer than most statements run: there is no need behind the last
        # CREATE, and what the last statement of all creates is seen in the end.
        creates = [number for number, one in enumerate(statements) if is_create(one)]
        ahead = statements[:-1][: creates[-1] + 1] if creates else ()
        self._seen_at = frozenset(one.offset for one in ahead)
        self._ends_with_create = is_create(statements[-1]) if statements else False

    def see(self, statement: Statement) -> None:
        """Compare what is there now with what was there before a statement."""
        if statement.offset in self._seen_at:
            self._compare(created=is_create(statement))

    def names(self) -> tuple[str, ...]:
        """Return what all statements have written, in this order; nothing is undone yet."""
        if self._ends_with_create:
            self._compare(created=True)
        return tuple(self._names)

    def left(self) -> tuple[DatabaseObject, ...]:
        """Return those that are still there, in the order in which they were created."""
        now = self._read()
        return tuple(now[name] for name in self.names() if name in now)

    def _compare(self, *, created: bool) -> None:
        now = self._read()
        if created:
            changed = {n for n, o in now.items() if self._seen.get(o.address) != o.version}
            self._names.update(dict.fromkeys(changed))
        self._seen = _versions(now.values())


def _objects(connection: Connection) -> Mapping[str, DatabaseObject]:
    return {key(one): one for one in read_objects(connection)}


def _versions(objects: Iterable[DatabaseObject]) -> dict[Address, str]:
    return {one.address: one.version for one in objects}


def _dropped(statement: Statement) -> str | None:
    """Return what makes room for an object that its name alone tells from others."""
    head = head_of(statement)
    if head is None or head.kind in WITH_ARGUMENTS:
        return None
    on = f" ON {identifier(*head.relation)}" if head.relation is not None else ""
    return f"DROP {head.kind.value} IF EXISTS {identifier(*head.name)}{on} CASCADE"
