"""What the ledger says of revisions, written: their status, and what was decided."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Text,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY

from alembic_pgpipe.errors import UPGRADE, LedgerError
from alembic_pgpipe.ledger.attempt_rows import (
    NO_PROGRESS,
    attempt_values,
    progress_values,
)
from alembic_pgpipe.ledger.attempts import Attempts
from alembic_pgpipe.ledger.build_rows import BuildRows
from alembic_pgpipe.ledger.encoding import encoding_of
from alembic_pgpipe.ledger.held_lock import held_lock, refuse_lost_lock
from alembic_pgpipe.ledger.reading import Reading
from alembic_pgpipe.ledger.relations import Relations
from alembic_pgpipe.ledger.steps import (
    Beginning,
    Move,
    beginning,
    beginning_at_once,
    settling,
)
from alembic_pgpipe.ledger.tables import (
    CLOCK,
    ID_LIMIT,
    NAME_LIMIT,
    Tables,
    ledger_tables,
    not_kept,
)
from alembic_pgpipe.model import (
    Attempt,
    Build,
    Direction,
    Hold,
    Outcome,
    Revision,
    Row,
    Status,
    UnreadRow,
)


@dataclass(frozen=True, slots=True)
class Recorder:
    """The ledger of one schema as seen through one connection.

    On the journal each call commits by itself; on the main connection it is part of
    the step's transaction.  ``connect`` is asked for the connection each time: one that
    was lost is not the last.  With ``hold``, a run begins nothing and moves no status once
    its lock is lost.  ``again`` is what errors say to type next.  Without ``with_builds``
    there is no table of the builds to read from.
    """

    connect: Callable[[], Connection]
    tables: Tables
    hold: Hold | None = None
    again: str = UPGRADE
    with_builds: bool = True

    @classmethod
    def on(cls, connection: Connection, schema: str) -> Recorder:
        """Return the recorder of the ledger in a schema."""
        return cls(lambda: connection, ledger_tables(schema, encoding_of(connection)))

    @property
    def connection(self) -> Connection:
        """Return the connection that there is now."""
        return self.connect()

    @property
    def schema(self) -> str:
        """Return the schema that the ledger lives in."""
        return self.tables.schema

    @property
    def relations(self) -> Relations:
        """Return the ledger's tables as they are in the database."""
        return Relations(self.connection, self.tables)

    @property
    def reading(self) -> Reading:
        """Return the rows and attempts, as seen through the same connection."""
        return Reading(self.connect, self.tables, self.with_builds)

    @property
    def builds(self) -> BuildRows:
        """Return the rows of the builds, as seen through the same connection."""
        return BuildRows(self.connect, self.tables)

    @property
    def attempts(self) -> Attempts:
        """Return the attempts, to be written through the same connection."""
        return Attempts(self.connect, self.tables, self.hold, self.again)

    def reach(self) -> None:
        """Raise UnreachableError where there is no connection, and none to be had."""
        self.connect()

    # -- the lock ----------------------------------------------------------------------

    def refuse_lost_lock(self) -> None:
        """Raise LockError where the run's lock is not held any more."""
        refuse_lost_lock(self.connection, self.hold, self.again)

    # -- the status of revisions -------------------------------------------------------

    def add_waiting(self, revisions: Iterable[Revision]) -> None:
        """Add a WAITING row for revisions that a run sees for the first time."""
        self._add(revisions, Status.WAITING)

    def adopt(self, revisions: Iterable[Revision], build: Build, reason: str) -> None:
        """Record as SUCCESS what was applied before the ledger was kept."""
        known = tuple(revisions)
        self._add(known, Status.SUCCESS, finished_at=CLOCK)
        for revision in known:
            self.note(revision, Direction.UPGRADE, Outcome.ADOPTED, build, reason)

    def _add(self, revisions: Iterable[Revision], status: Status, **values: Any) -> None:
        known = tuple(revisions)
        for revision in known:
            _refuse_long_id(revision)
            self._refuse_unstorable(revision)
        if known:
            table = self.tables.migrations
            ids = [revision.id for revision in known]
            names = [revision.name[:NAME_LIMIT] for revision in known]
            # One message, however many they are.
            each = select(
                func.unnest(literal(ids, ARRAY(Text))),
                func.unnest(literal(names, ARRAY(Text))),
                literal(status.value, Text),
                *values.values(),
            )
            columns = ("id", "migration_name", "applied_status", *values)
            adding = postgresql.insert(table).from_select(columns, each)
            self.connection.execute(adding.on_conflict_do_nothing())
            there = select(func.count()).where(table.c.id == func.any(ids))
            if self.connection.scalar(there) != len(ids):
                raise not_kept(table, f"the rows of {', '.join(ids[:5])}", self.again)

    def _refuse_unstorable(self, revision: Revision) -> None:
        encoding = self.tables.encoding
        if encoding.hold(revision.name) != revision.name:
            raise LedgerError(
                f"Revision {revision.id}: its name, {revision.name}, has characters that this "
                f"database, whose encoding is {encoding.name}, cannot hold. Nothing was run. "
                f"Rename {revision.path} and its source, or use a database in UTF8."
            )

    def set_status(
        self,
        row: Row,
        status: Status,
        *,
        logs: str | None = None,
        rolled_back: bool = False,
    ) -> Row:
        """Move a row from the status it was read with to another one.

        Raises LedgerError where the row has changed since it was read: somebody else
        decided meanwhile, and their decision stands.  Raises LockError where the run's
        lock is lost.
        """
        table = self.tables.migrations
        same = (table.c.id == row.id, table.c.applied_status == row.status.value)
        change = (
            update(table)
            .where(*same, held_lock(self.hold))
            .values(**_status_values(status, logs, rolled_back))
        )
        if self.connection.execute(change).rowcount != 1:
            raise self._decided(row)
        return Row(row.id, row.name, status, row.started_at, row.finished_at, logs)

    def _decided(self, row: Row) -> LedgerError:
        """Return the error for a row that has changed; raises LockError where that is why."""
        self.refuse_lost_lock()
        return LedgerError(
            f"The status of {row.name} (id {row.id}) was {row.status.value} and has been "
            "changed or removed meanwhile; that stands. Look: alembic "
            f"pgpipe status. Then go on: {self.again}"
        )

    def mend_row(
        self,
        revision: Revision,
        before: UnreadRow | Row | None,
        status: Status,
        proof: Attempt | None,
    ) -> None:
        """Give a revision the row that its attempts, or a person, say that it should have.

        ``before`` is the row as it was read.  Times and error text are those of ``proof``,
        the attempt that says so.  Raises LedgerError where the row has changed since.
        """
        table, values = self.tables.migrations, self._mended_values(status, proof)
        if before is None:
            names = {"id": revision.id, "migration_name": revision.name[:NAME_LIMIT]}
            adding = postgresql.insert(table).values(**names, **values)
            done = self.connection.execute(adding.on_conflict_do_nothing())
        else:
            was = before.status.value if isinstance(before, Row) else before.status
            same = (table.c.id == before.id, table.c.applied_status == was)
            done = self.connection.execute(update(table).where(*same).values(**values))
        if done.rowcount != 1:
            raise LedgerError(
                f"The row of {revision.id} ({revision.name}) has been changed by somebody else "
                "meanwhile; nothing was mended. Look again: alembic pgpipe repair"
            )

    def _mended_values(self, status: Status, proof: Attempt | None) -> dict[str, Any]:
        values = _status_values(status, None, rolled_back=False)
        if proof is not None and status in (Status.SUCCESS, Status.ERROR, Status.SKIPPED):
            table = self.tables.attempts
            its = table.c.id == proof.id
            values["started_at"] = proof.started_at
            values["finished_at"] = proof.finished_at or CLOCK
            if status is Status.ERROR:
                values["logs"] = select(table.c.message).where(its).scalar_subquery()
        return values

    # -- attempts ----------------------------------------------------------------------

    def begin(self, begins: Beginning, *, durable: bool = True) -> tuple[Row, int]:
        """Move a row to RUNNING and begin a try at an upgrade, both or neither.

        Returns the row and the attempt's id.  What is not ``durable`` may be forgotten by
        a server that crashes.  Raises as ``set_status`` and ``Attempts.begin`` do.
        """
        sql = beginning(self.tables, self.hold, durable=durable)
        asked = self.connection.exec_driver_sql(sql, self._beginning_values(begins))
        moved, id_ = asked.one()
        if not moved:
            raise self._decided(begins.row)
        if id_ is None:
            self.set_status(_running(begins.row), begins.row.status, logs=begins.row.logs)
            raise not_kept(self.tables.attempts, f"an attempt at {begins.revision.id}")
        return _running(begins.row), int(id_)

    def beginning(self, begins: Beginning) -> str:
        """Return the SQL that does what ``begin`` does, for a message that goes on behind it.

        It fails where ``begin`` would raise.  What it has done, ``begun`` finds out.
        """
        return beginning_at_once(self.tables, self.hold, self._beginning_values(begins))

    def begun(self, row: Row, revision: Revision, build: Build) -> tuple[Row, int] | None:
        """Return what ``begin`` returns, where this run has a try at it that is open.

        Without its lock, an open one may be that of a run of the same build that has taken
        over: then it is nobody's here.
        """
        table = self.tables.attempts
        found = self.connection.scalar(
            select(func.max(table.c.id)).where(
                table.c.revision == revision.id,
                table.c.direction == Direction.UPGRADE.value,
                table.c.outcome == Outcome.RUNNING.value,
                table.c.build_number == build.number,
                table.c.build_id == build.id,
                held_lock(self.hold),
            )
        )
        return (_running(row), int(found)) if found is not None else None

    def _beginning_values(self, begins: Beginning) -> dict[str, Any]:
        revision, build, before = begins.revision, begins.build, begins.before
        values = {
            **attempt_values(revision, Direction.UPGRADE, Outcome.RUNNING, build),
            **(progress_values(before) if before is not None else NO_PROGRESS),
        }
        values |= {"id": begins.row.id, "was": begins.row.status.value}
        values |= {"checksum": begins.checksum, "directives": begins.directives}
        values["statements_total"] = begins.total
        for name in ("under_way", "session"):
            if values[name] is not None:
                values[name] = json.dumps(values[name], ensure_ascii=False)
        hold_all = self.tables.encoding.hold_all
        return {name: hold_all(value) for name, value in values.items()}

    def settling(self, row: Row, move: Move) -> str:
        """Return the SQL that ends a step: version, SUCCESS and the attempt's end, or none.

        It fails where one of them is not as it has to be, or where the run's lock is lost.
        """
        return settling(self.tables, self.hold, row.id, move)

    def note(
        self,
        revision: Revision,
        direction: Direction,
        outcome: Outcome,
        build: Build,
        reason: str | None,
        checksum: str | None = None,
        directives: str | None = None,
    ) -> None:
        """Record a decision about a revision: who, why, in which build, and of which text."""
        adding = insert(self.tables.attempts).values(
            **attempt_values(revision, direction, outcome, build),
            reason=reason,
            checksum=checksum,
            directives=directives,
            finished_at=CLOCK,
        )
        self.connection.execute(adding)


def _running(row: Row) -> Row:
    return Row(row.id, row.name, Status.RUNNING, row.started_at, row.finished_at)


def _refuse_long_id(revision: Revision) -> None:
    if len(revision.id) > ID_LIMIT:
        raise LedgerError(
            f"{revision.path}: the revision's id has {len(revision.id)} characters, and "
            f"the ledger's column holds {ID_LIMIT} characters. Nothing was run. Give it a "
            "shorter one, in this file and in those that name it as their down_revision."
        )


def _status_values(status: Status, logs: str | None, rolled_back: bool) -> dict[str, Any]:
    values: dict[str, Any] = {"applied_status": status.value, "logs": logs}
    if status is Status.RUNNING:
        values |= {"started_at": CLOCK, "finished_at": None, "rolled_back_at": None}
    if status in (Status.SUCCESS, Status.ERROR, Status.SKIPPED):
        values["finished_at"] = CLOCK
    if rolled_back or status is Status.ROLLED_BACK:
        values["rolled_back_at"] = CLOCK
    return values
