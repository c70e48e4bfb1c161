"""The only SQL against the ledger.  Reads never create or write; values are bound."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    Connection,
    Table,
    Text,
    exists,
    extract,
    func,
    insert,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.schema import CreateSchema

from alembic_pgpipe.errors import LedgerError, LockError
from alembic_pgpipe.ledger.encoding import encoding_of
from alembic_pgpipe.ledger.history import SETTLING
from alembic_pgpipe.ledger.steps import (
    Beginning,
    Move,
    beginning,
    beginning_at_once,
    held,
    settling,
)
from alembic_pgpipe.ledger.tables import (
    ID_LIMIT,
    NAME_LIMIT,
    NAMES,
    Tables,
    ledger_tables,
    rows_are_hidden,
)
from alembic_pgpipe.model import (
    Attempt,
    Build,
    BuildRecord,
    Direction,
    Failure,
    Hold,
    Outcome,
    Revision,
    Row,
    Status,
    UnderWay,
    UnreadRow,
)

COLUMNS_OF = text(
    """
    SELECT c.relname, c.relkind::text,
        EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite AS r WHERE r.ev_class = c.oid),
        pg_catalog.row_security_active(c.oid), a.attname
    FROM pg_catalog.pg_class AS c
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_attribute AS a
        ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname = :schema AND c.relname = ANY(:names)
    """
)
TABLE = "r"
OTHER_KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "p": "a partitioned table",
    "f": "a foreign table",
    "S": "a sequence",
    "c": "a type",
}
KNOWN = frozenset(status.value for status in Status)
SCHEMA_EXISTS = text("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = :schema")
CREATION_LOCK = text(
    "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext(:name)::bigint)"
)
LOST = (
    "The lock was lost: the server has ended the session that held it, so that another run "
    "may have begun. This one stops where it is. Look what is at work: alembic pgpipe status. "
    "Then go on: alembic upgrade head"
)
# Qualified like every name: the search path is not ours on the main connection.
CLOCK = func.pg_catalog.clock_timestamp()

NO_PROGRESS: Mapping[str, Any] = MappingProxyType(
    {"statements_done": 0, "statement_hashes": [], "statement_texts": [], "under_way": None}
)


@dataclass(frozen=True, slots=True)
class _Relation:
    """A relation that has one of our names; ``hides_rows`` is for the current role."""

    name: str
    kind: str
    has_rules: bool
    hides_rows: bool
    columns: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Recorder:
    """The ledger of one schema as seen through one connection.

    On the journal each call commits by itself; on the main connection it is part of
    the step's transaction.  ``connect`` is asked for the connection each time: one that
    was lost is not the last.  With ``hold``, a run begins nothing and moves no status once
    its lock is lost.
    """

    connect: Callable[[], Connection]
    tables: Tables
    hold: Hold | None = None

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
        return str(self.tables.metadata.schema)

    # -- the tables themselves ---------------------------------------------------------

    def missing(self) -> tuple[str, ...]:
        """Return which of the tables do not exist; LedgerError where one is foreign."""
        found = self._relations()
        for table in self.tables.metadata.tables.values():
            if table.name in found:
                self._refuse_foreign(table, found[table.name])
                self._refuse_meddling(found[table.name])
        return tuple(name for name in NAMES if name not in found)

    def create(self) -> None:
        """Create what is missing of the ledger, within the caller's transaction.

        Two first runs may meet here: the second waits and then finds the tables.
        """
        self._create(*self.tables.metadata.tables.values())

    def create_builds(self) -> None:
        """Create ``migration_logs`` alone, as ``create`` does.

        That ``migrations`` is missing tells the first run to look for a history elsewhere.
        """
        self._create(self.tables.builds)

    def _create(self, *tables: Table) -> None:
        self.connection.execute(CREATION_LOCK, {"name": f"alembic-pgpipe {self.schema}"})
        if self.connection.scalar(SCHEMA_EXISTS, {"schema": self.schema}) is None:
            self.connection.execute(CreateSchema(self.schema))
        self.tables.metadata.create_all(self.connection, tables=tables)

    def _relations(self) -> dict[str, _Relation]:
        """Return each relation that has one of our names."""
        found: dict[str, _Relation] = {}
        rows = self.connection.execute(
            COLUMNS_OF, {"schema": self.schema, "names": list(NAMES)}
        )
        for name, *properties, column in rows:
            found.setdefault(name, _Relation(name, *properties)).columns.add(column)
        return found

    def _refuse_foreign(self, table: Table, relation: _Relation) -> None:
        lacking = ", ".join(c.name for c in table.columns if c.name not in relation.columns)
        if relation.kind == TABLE and not lacking:
            return
        why = f"it has no column {lacking}"
        if relation.kind != TABLE:
            why = f"it is {OTHER_KINDS.get(relation.kind, 'no table')}"
        raise LedgerError(
            f"{self.schema}.{table.name} belongs to something else: {why}. It was left alone. "
            "Keep the ledger in a schema of its own: set pgpipe.schema = pgpipe in alembic.ini."
        )

    def _refuse_meddling(self, relation: _Relation) -> None:
        """Refuse what would read or write something else than is asked."""
        name = f"{self.schema}.{relation.name}"
        if relation.hides_rows:
            raise LedgerError(rows_are_hidden(name))
        if relation.has_rules:
            raise LedgerError(
                f"{name} has a rule, which may write something else than the run does. Nothing "
                f"was run. Drop it: DROP RULE … ON {name}; a trigger can do what it was for."
            )

    def _kept(self, relation: Table, what: str) -> LedgerError:
        """Return the error for a row that was written and is not there."""
        return LedgerError(
            f"{self.schema}.{relation.name} does not keep {what}: a trigger on it takes that "
            "away. What was committed stays. Drop the trigger, then: alembic upgrade head"
        )

    # -- the lock ----------------------------------------------------------------------

    def refuse_lost_lock(self) -> None:
        """Raise LockError where the run's lock is not held any more."""
        if not self.connection.scalar(select(self._held())):
            raise LockError(LOST)

    def _held(self) -> Any:
        """Return the condition that the run's lock is held; without one, that holds."""
        return text(held(self.hold))

    # -- reading -----------------------------------------------------------------------

    def rows(self, of: Iterable[Revision] | None = None) -> tuple[Row | UnreadRow, ...]:
        """Return every row of ``migrations``, or those of some revisions, oldest first.

        A revision's row has its id or, among those of the bash tool, its name.
        """
        table = self.tables.migrations
        columns = (
            table.c.id,
            table.c.migration_name,
            table.c.applied_status,
            table.c.started_at,
            table.c.finished_at,
            table.c.logs,
        )
        wanted = select(*columns).order_by(table.c.started_at)
        if of is not None:
            some = tuple(of)
            own = table.c.id == self._any_of(one.id for one in some)
            named = table.c.migration_name == self._any_of(one.name for one in some)
            wanted = wanted.where(own | named)
        found = self.connection.execute(wanted)
        return tuple(
            Row(id_, name, Status(status), *rest)
            if status in KNOWN
            else UnreadRow(id_, name, status)
            for id_, name, status, *rest in found
        )

    def _any_of(self, texts: Iterable[str]) -> Any:
        """Return texts as one value to compare with; the server refuses what it cannot hold."""
        hold = self.tables.encoding.hold
        return func.any([text for text in texts if hold(text) == text])

    def applied_ids(self) -> frozenset[str]:
        """Return the ids of the rows that are SUCCESS, where no attempt contradicts that.

        One does where it is the last that says whether the revision is applied, and says
        that it was taken back.
        """
        row, attempt = self.tables.migrations, self.tables.attempts
        later = attempt.alias()
        settling = [outcome.value for outcome in SETTLING]
        taken_back = select(attempt.c.revision).where(
            attempt.c.direction == Direction.DOWNGRADE.value,
            attempt.c.outcome.in_(settling),
            ~exists().where(
                later.c.revision == attempt.c.revision,
                later.c.id > attempt.c.id,
                later.c.outcome.in_(settling),
            ),
        )
        applied = row.c.applied_status == Status.SUCCESS.value
        # As one value: ten thousand rows take longer to fetch than to find.
        ids = select(func.array_agg(row.c.id)).where(applied, row.c.id.not_in(taken_back))
        return frozenset(self.connection.scalar(ids) or ())

    def has_unread_rows(self) -> bool:
        """Return whether a row has a status that nobody knows."""
        status = self.tables.migrations.c.applied_status
        return bool(self.connection.scalar(select(exists().where(status.not_in(KNOWN)))))

    def open_attempts(self) -> tuple[Attempt, ...]:
        """Return the attempts that have not ended, oldest first."""
        table = self.tables.attempts
        wanted = select(table).where(table.c.outcome == Outcome.RUNNING.value)
        found = self.connection.execute(wanted.order_by(table.c.id))
        return tuple(_attempt(values) for values in found.mappings())

    def attempts(self, of: Iterable[Revision] | None = None) -> tuple[Attempt, ...]:
        """Return of each revision and direction the latest attempt of each outcome.

        All that are open are among them.  With ``of`` only those of some revisions.
        """
        table = self.tables.attempts
        kinds = (table.c.revision, table.c.direction, table.c.outcome)
        latest = select(func.max(table.c.id)).group_by(*kinds)
        still_open = table.c.outcome == Outcome.RUNNING.value
        if of is not None:
            own = table.c.revision == self._any_of(one.id for one in of)
            latest, still_open = latest.where(own), still_open & own
        wanted = select(table).where(table.c.id.in_(latest.scalar_subquery()) | still_open)
        found = self.connection.execute(wanted)
        return tuple(_attempt(values) for values in found.mappings())

    def committing(self, revision: Revision, direction: Direction) -> Attempt | None:
        """Return the latest try of a step that was about to commit in another database.

        Tries behind which the revision's status was settled in this one do not count.
        """
        table = self.tables.attempts
        own = table.c.revision == revision.id
        settled = table.c.outcome.in_([outcome.value for outcome in SETTLING])
        last = select(func.coalesce(func.max(table.c.id), 0)).where(own, settled)
        wanted = select(table).where(
            own,
            table.c.direction == direction.value,
            table.c.transaction_id.is_not(None),
            table.c.id > last.scalar_subquery(),
        )
        found = self.connection.execute(wanted.order_by(table.c.id.desc()).limit(1))
        values = found.mappings().first()
        return _attempt(values) if values is not None else None

    def attempts_in(self, build: Build, since: datetime | None = None) -> tuple[Attempt, ...]:
        """Return the attempts and decisions of a build, oldest first.

        ``since`` is a time by the server's clock, as the build's row has it.
        """
        table = self.tables.attempts
        own = [table.c.build_number == build.number, table.c.build_id == build.id]
        if since is not None:
            own.append(table.c.started_at >= since)
        found = self.connection.execute(select(table).where(*own).order_by(table.c.id))
        return tuple(_attempt(values) for values in found.mappings())

    def build(self, number: str | None = None) -> BuildRecord | None:
        """Return a build by its number, or the latest one; None where there is none."""
        table = self.tables.builds
        wanted = select(table.c.build_number, table.c.status, table.c.timestamp, table.c.logs)
        if number is not None:
            wanted = wanted.where(table.c.build_number == number)
        latest = (table.c.timestamp.desc().nulls_last(), table.c.id.desc())
        found = self.connection.execute(wanted.order_by(*latest).limit(1)).first()
        return BuildRecord(*found) if found is not None else None

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
                raise self._kept(table, f"the rows of {', '.join(ids[:5])}")

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
            .where(*same, self._held())
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
            "changed or removed by somebody else meanwhile; that stands. Look: alembic "
            "pgpipe status. Then go on: alembic upgrade head"
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

    def begin_attempt(
        self,
        revision: Revision,
        direction: Direction,
        build: Build,
        *,
        checksum: str | None,
        total: int | None,
        before: Attempt | None = None,
    ) -> int:
        """Record that a try at a step begins; returns the attempt's id.

        What ``before`` had finished, and what it had under way, stays known.
        """
        adding = insert(self.tables.attempts).values(
            **_attempt_values(revision, direction, Outcome.RUNNING, build),
            checksum=checksum,
            statements_total=total,
            **(_progress_values(before) if before is not None else {}),
        )
        id_ = self.connection.scalar(adding.returning(self.tables.attempts.c.id))
        if id_ is None:
            raise self._kept(self.tables.attempts, f"an attempt at {revision.id}")
        return int(id_)

    def begin(self, begins: Beginning, *, durable: bool = True) -> tuple[Row, int]:
        """Move a row to RUNNING and begin a try at an upgrade, both or neither.

        Returns the row and the attempt's id.  What is not ``durable`` may be forgotten by
        a server that crashes.  Raises as ``set_status`` and ``begin_attempt`` do.
        """
        sql = beginning(self.tables, self.hold, durable=durable)
        asked = self.connection.exec_driver_sql(sql, self._beginning_values(begins))
        moved, id_ = asked.one()
        if not moved:
            raise self._decided(begins.row)
        if id_ is None:
            raise self._kept(self.tables.attempts, f"an attempt at {begins.revision.id}")
        return _running(begins.row), int(id_)

    def beginning(self, begins: Beginning) -> str:
        """Return the SQL that does what ``begin`` does, for a message that goes on behind it.

        It fails where ``begin`` would raise.  What it has done, ``begun`` finds out.
        """
        return beginning_at_once(self.tables, self.hold, self._beginning_values(begins))

    def begun(self, row: Row, revision: Revision, build: Build) -> tuple[Row, int] | None:
        """Return what ``begin`` returns, where a build has a try at it that is open."""
        table = self.tables.attempts
        found = self.connection.scalar(
            select(func.max(table.c.id)).where(
                table.c.revision == revision.id,
                table.c.direction == Direction.UPGRADE.value,
                table.c.outcome == Outcome.RUNNING.value,
                table.c.build_number == build.number,
                table.c.build_id == build.id,
            )
        )
        return (_running(row), int(found)) if found is not None else None

    def _beginning_values(self, begins: Beginning) -> dict[str, Any]:
        revision, build, before = begins.revision, begins.build, begins.before
        values = {
            **_attempt_values(revision, Direction.UPGRADE, Outcome.RUNNING, build),
            **(_progress_values(before) if before is not None else NO_PROGRESS),
        }
        values |= {"id": begins.row.id, "was": begins.row.status.value}
        values |= {"checksum": begins.checksum, "statements_total": begins.total}
        if values["under_way"] is not None:
            values["under_way"] = json.dumps(values["under_way"], ensure_ascii=False)
        return {name: self._storable(value) for name, value in values.items()}

    def _storable(self, value: Any) -> Any:
        """Return a value with texts that the database can hold, as ``Words`` does."""
        if isinstance(value, list):
            return [self._storable(one) for one in value]
        return self.tables.encoding.hold(value) if isinstance(value, str) else value

    def settling(self, row: Row, move: Move) -> str:
        """Return the SQL that ends a step: version, SUCCESS and the attempt's end, or none.

        It fails where one of them is not as it has to be, or where the run's lock is lost.
        """
        return settling(self.tables, self.hold, row.id, move)

    def end_attempt(
        self, attempt: int, outcome: Outcome, failure: Failure | None = None
    ) -> None:
        """Record how a try ended; what has ended already keeps its outcome."""
        table = self.tables.attempts
        values: dict[str, Any] = {"outcome": outcome.value, "finished_at": CLOCK}
        elapsed = extract("epoch", CLOCK - table.c.started_at)
        values["duration_ms"] = func.floor(elapsed * 1000)
        if failure is not None:
            values.update(_failure_values(failure))
        elif outcome is Outcome.SUCCESS:
            values["statements_done"] = func.coalesce(
                table.c.statements_total, table.c.statements_done
            )
        running = table.c.outcome == Outcome.RUNNING.value
        if not self._change(attempt, running, **values) and self._is_open(attempt):
            raise self._kept(table, f"how attempt {attempt} ended")

    def _is_open(self, attempt: int) -> bool:
        """Return whether nothing says how an attempt ended: no other run, and not this one."""
        table = self.tables.attempts
        outcome = self.connection.scalar(select(table.c.outcome).where(table.c.id == attempt))
        return outcome in (None, Outcome.RUNNING.value)

    def interrupt(self, attempt: Attempt, reason: str) -> None:
        """Close an attempt whose run died before it could say how it ended."""
        table = self.tables.attempts
        self.connection.execute(
            update(table)
            .where(table.c.id == attempt.id, table.c.outcome == Outcome.RUNNING.value)
            .values(outcome=Outcome.INTERRUPTED.value, message=reason)
        )

    def record_statements(
        self, attempt: int, hashes: Sequence[str], texts: Sequence[str], done: int
    ) -> None:
        """Record all statements of a non-transactional source, and how many are done."""
        values = {"statement_hashes": list(hashes), "statement_texts": list(texts)}
        self._change(attempt, **values, statements_done=done)

    def record_under_way(self, attempt: int, statement: UnderWay) -> None:
        """Record that a statement is about to be sent, or what became of it.

        Raises LockError where the run's lock is lost.
        """
        text = self.tables.encoding.hold(statement.text)
        values = asdict(replace(statement, text=text))
        if not self._change(attempt, self._held(), under_way=values):
            self.refuse_lost_lock()

    def record_done(self, attempt: int, done: int) -> None:
        """Record how many statements of a non-transactional source are done."""
        self._change(attempt, statements_done=done, under_way=None)

    def _change(self, attempt: int, *conditions: Any, **values: Any) -> int:
        table = self.tables.attempts
        change = update(table).where(table.c.id == attempt, *conditions).values(**values)
        return self.connection.execute(change).rowcount

    def record_transaction(self, attempt: int, transaction_id: int) -> None:
        """Record under which transaction id a source is about to commit elsewhere.

        Raises LockError where the run's lock is lost.
        """
        if not self._change(attempt, self._held(), transaction_id=transaction_id):
            self.refuse_lost_lock()

    def note(
        self,
        revision: Revision,
        direction: Direction,
        outcome: Outcome,
        build: Build,
        reason: str | None,
        checksum: str | None = None,
    ) -> None:
        """Record a decision about a revision: who, why, and in which build."""
        adding = insert(self.tables.attempts).values(
            **_attempt_values(revision, direction, outcome, build),
            reason=reason,
            checksum=checksum,
            finished_at=CLOCK,
        )
        self.connection.execute(adding)

    # -- builds ------------------------------------------------------------------------

    def open_build(self, number: str, heading: str, signature: str) -> bool:
        """Begin a build's log, or continue it under a heading of its own.

        Returns False, with the row untouched, where the number belongs to a build whose
        log does not hold ``signature``; an empty one fits every row.  The row's time is
        that of the latest run, as its outcome is.  Raises LedgerError where the row is not
        kept.
        """
        self.stay_alive(number)
        table = self.tables.builds
        adding = postgresql.insert(table).values(build_number=number, logs=heading)
        logs = table.c.logs + literal("\n") + heading
        again = adding.on_conflict_do_update(
            index_elements=[table.c.build_number],
            set_={"logs": logs, "status": None, "timestamp": func.localtimestamp()},
            where=func.strpos(table.c.logs, signature) > 0,
        )
        opened = bool(self.connection.execute(again).rowcount)
        if not opened:
            alive = self._alive(number)
            self.connection.execute(select(func.pg_catalog.pg_advisory_unlock_shared(alive)))
            if self.build(number) is None:
                raise self._kept(table, f"the row of build {number}")
        return opened

    def reserve_build(self, number: str) -> bool:
        """Keep the runs of a build away until the transaction ends; False where one lives."""
        free = func.pg_catalog.pg_try_advisory_xact_lock(self._alive(number))
        return bool(self.connection.scalar(select(free)))

    def alive_key(self, number: str) -> int:
        """Return the key of the lock that the runs of a build share while they live."""
        return int(self.connection.scalar(select(self._alive(number))) or 0)

    def add_build(self, number: str, logs: str, succeeded: bool) -> None:
        """Record a build that no run has opened."""
        values = {"build_number": number, "logs": logs, "status": _outcome(succeeded)}
        self.connection.execute(insert(self.tables.builds).values(**values))

    def stay_alive(self, number: str) -> None:
        """Let others see, for as long as the connection lives, that a build does."""
        self.connection.execute(
            select(func.pg_catalog.pg_advisory_lock_shared(self._alive(number)))
        )

    def close_dead_build(self, signature: str, own: str, line: str) -> None:
        """Close the build that a signature names as FAILURE, unless it is closed, or ours.

        ``own`` is the number of the build that found it, ``line`` what it found.
        """
        table = self.tables.builds
        dead = (table.c.status.is_(None), func.strpos(table.c.logs, signature) > 0)
        self.connection.execute(
            update(table)
            .where(*dead, table.c.build_number != own)
            .values(status="FAILURE", logs=table.c.logs + line)
        )

    def close_abandoned_builds(self, sign: str, own: str, line: str) -> None:
        """Close as FAILURE each build, except ``own``, that is open and has no run any more.

        Only rows whose log holds ``sign`` are looked at: others are not ours.  A run is
        alive while it waits for its turn, too; what it holds then is in ``open_build``.
        """
        table = self.tables.builds
        left_open = (table.c.status.is_(None), func.strpos(table.c.logs, sign) > 0)
        wanted = select(table.c.build_number).where(*left_open, table.c.build_number != own)
        for number in self.connection.scalars(wanted).all():
            nobody = func.pg_catalog.pg_try_advisory_xact_lock(self._alive(number))
            self.connection.execute(
                update(table)
                .where(table.c.build_number == number, table.c.status.is_(None), nobody)
                .values(status="FAILURE", logs=table.c.logs + line)
            )

    def _alive(self, number: str) -> Any:
        name = f"alembic-pgpipe {self.schema} build {number}"
        return func.pg_catalog.hashtextextended(name, 0)

    def append_log(self, number: str, lines: str) -> int:
        """Append lines to a build's log; returns how many characters it has then."""
        table = self.tables.builds
        adding = (
            update(table)
            .where(table.c.build_number == number)
            .values(logs=table.c.logs + lines)
            .returning(func.pg_catalog.length(table.c.logs))
        )
        return self.connection.scalar(adding) or 0

    def rewrite_log(self, number: str, change: Callable[[str], str]) -> None:
        """Put another text in place of a build's log, unless somebody adds to it meanwhile."""
        table = self.tables.builds
        own = table.c.build_number == number
        logs = self.connection.scalar(select(table.c.logs).where(own))
        if logs is not None:
            unchanged = func.pg_catalog.length(table.c.logs) == len(logs)
            self.connection.execute(
                update(table).where(own, unchanged).values(logs=change(logs))
            )

    def close_build(self, number: str, succeeded: bool, lines: str) -> None:
        """Close a build with its outcome and its last lines: with both, or not at all.

        Raises LedgerError where the row does not keep them.
        """
        table = self.tables.builds
        change = update(table).where(table.c.build_number == number)
        values = {"status": _outcome(succeeded), "logs": table.c.logs + lines}
        if not self.connection.execute(change.values(**values)).rowcount:
            raise self._kept(table, f"the outcome of build {number}")


def _running(row: Row) -> Row:
    return Row(row.id, row.name, Status.RUNNING, row.started_at, row.finished_at)


def _outcome(succeeded: bool) -> str:
    return "SUCCESS" if succeeded else "FAILURE"


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


def _attempt_values(
    revision: Revision, direction: Direction, outcome: Outcome, build: Build
) -> dict[str, Any]:
    return {
        "migration_name": revision.name[:255],
        "revision": revision.id,
        "direction": direction.value,
        "outcome": outcome.value,
        "build_number": build.number,
        "build_id": build.id,
        "commit_hash": build.commit,
        "who": build.who,
    }


def _progress_values(before: Attempt) -> dict[str, Any]:
    """Return what a further attempt at the same step knows from the one before."""
    return {
        "statements_done": len(before.statement_hashes),
        "statement_hashes": list(before.statement_hashes),
        "statement_texts": list(before.statement_texts),
        "under_way": asdict(before.under_way) if before.under_way is not None else None,
    }


def _failure_values(failure: Failure) -> dict[str, Any]:
    return {
        "sqlstate": failure.sqlstate,
        "message": failure.text,
        "file": failure.file,
        "line": failure.line,
        "column_number": failure.column,
    }


def _attempt(values: Any) -> Attempt:
    return Attempt(
        id=values["id"],
        revision=values["revision"],
        direction=Direction(values["direction"]),
        outcome=Outcome(values["outcome"]),
        checksum=values["checksum"],
        build_number=values["build_number"],
        build_id=values["build_id"],
        who=values["who"],
        reason=values["reason"],
        started_at=values["started_at"],
        finished_at=values["finished_at"],
        statement_hashes=tuple(values["statement_hashes"][: values["statements_done"]]),
        statement_texts=tuple(values["statement_texts"][: values["statements_done"]]),
        under_way=_under_way(values["under_way"]),
        statements_total=values["statements_total"],
        transaction_id=values["transaction_id"],
        name=values["migration_name"],
        message=values["message"],
        sqlstate=values["sqlstate"],
        duration_ms=values["duration_ms"],
    )


def _under_way(values: dict[str, Any] | None) -> UnderWay | None:
    if values is None:
        return None
    seen, left = tuple(values["seen"]), values["left"]
    lists = {"seen": seen, "left": tuple(left) if left is not None else None}
    return UnderWay(**{**values, **lists})
