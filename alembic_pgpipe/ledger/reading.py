"""What the ledger holds, read: nothing here creates or writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, Subquery, Text, cast, exists, func, literal, select

from alembic_pgpipe.ledger.attempt_rows import NUMBER_OF_ROW, attempt_of
from alembic_pgpipe.ledger.build import APART, HEADING
from alembic_pgpipe.ledger.history import DECISIONS, SETTLING
from alembic_pgpipe.ledger.tables import Tables
from alembic_pgpipe.model import (
    Attempt,
    Build,
    Direction,
    Outcome,
    Revision,
    Row,
    Status,
    UnreadRow,
)

KNOWN = frozenset(status.value for status in Status)
# Alembic refuses an id with it in a revision file; a row that has it belongs to something else.
IN_NO_ID = "@"
# What ends a build's signature at the head of its log, and how much of one is looked at.
SIGNED, HEAD = "), ", 2000


@dataclass(frozen=True, slots=True)
class Reading:
    """The rows and attempts of one schema's ledger as seen through one connection.

    ``connect`` is asked for the connection each time: one that was lost is not the last.
    Without ``with_builds`` there is no table of the builds.
    """

    connect: Callable[[], Connection]
    tables: Tables
    with_builds: bool = True

    @property
    def _connection(self) -> Connection:
        return self.connect()

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
        found = self._connection.execute(wanted)
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
        """Return the ids of the rows that are SUCCESS, where no attempt puts that in doubt.

        One does where it is the last that says whether the revision is applied, and says
        that it was taken back; or where it was to take it back, and did not succeed.
        """
        row, attempt = self.tables.migrations, self.tables.attempts
        later = attempt.alias()
        settling = [outcome.value for outcome in SETTLING]
        taken_back = select(attempt.c.revision).where(
            attempt.c.direction == Direction.DOWNGRADE.value,
            ~exists().where(
                later.c.revision == attempt.c.revision,
                later.c.id > attempt.c.id,
                later.c.outcome.in_(settling),
            ),
        )
        applied = row.c.applied_status == Status.SUCCESS.value
        no_other = func.strpos(row.c.id, IN_NO_ID) == 0
        # As one text: ten thousand rows, or elements, take longer to fetch than to find.
        ids = select(func.string_agg(row.c.id, IN_NO_ID))
        text = self._connection.scalar(
            ids.where(applied, no_other, row.c.id.not_in(taken_back))
        )
        return frozenset(text.split(IN_NO_ID) if text else ())

    def applied_texts(self, checksums: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """Return by id which revisions with one of some checksums are applied, and with which.

        What another tool applied has none.
        """
        row, attempt = self.tables.migrations, self.tables.attempts
        wanted = select(attempt.c.revision, attempt.c.checksum).where(
            attempt.c.checksum == func.any(list(checksums)),
            attempt.c.direction == Direction.UPGRADE.value,
            attempt.c.outcome.in_([Outcome.SUCCESS.value, Outcome.REWORDED.value]),
            row.c.migration_name == attempt.c.migration_name,
            row.c.applied_status == Status.SUCCESS.value,
        )
        return tuple((id_, checksum) for id_, checksum in self._connection.execute(wanted))

    def begun_texts(self, checksums: Iterable[str]) -> tuple[Attempt, ...]:
        """Return the tries that stopped behind finished statements of one of some texts.

        Only where that try is the last thing that is known of its revision, but for decisions.
        """
        table = self.tables.attempts
        no_try = DECISIONS | {Outcome.REWORDED}
        tried = table.c.outcome.not_in([outcome.value for outcome in no_try])
        latest = select(func.max(table.c.id)).where(tried).group_by(table.c.revision)
        wanted = self._select_attempts().where(
            table.c.checksum == func.any(list(checksums)),
            table.c.direction == Direction.UPGRADE.value,
            table.c.outcome != Outcome.SUCCESS.value,
            table.c.statements_done > 0,
            table.c.id.in_(latest),
        )
        found = self._connection.execute(wanted)
        return tuple(attempt_of(values) for values in found.mappings())

    def has_unread_rows(self) -> bool:
        """Return whether a row has a status that nobody knows."""
        status = self.tables.migrations.c.applied_status
        return bool(self._connection.scalar(select(exists().where(status.not_in(KNOWN)))))

    def named(self, statuses: Iterable[Status]) -> tuple[tuple[str, str, Status], ...]:
        """Return id, name and status of the rows that have one of some statuses."""
        table = self.tables.migrations
        wanted = select(table.c.id, table.c.migration_name, table.c.applied_status).where(
            table.c.applied_status.in_([status.value for status in statuses])
        )
        return tuple((*names, Status(is_)) for *names, is_ in self._connection.execute(wanted))

    def open_attempts(self) -> tuple[Attempt, ...]:
        """Return the attempts that have not ended, oldest first."""
        table = self.tables.attempts
        wanted = self._select_attempts().where(table.c.outcome == Outcome.RUNNING.value)
        found = self._connection.execute(wanted.order_by(table.c.id))
        return tuple(attempt_of(values) for values in found.mappings())

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
        wanted = self._select_attempts().where(
            table.c.id.in_(latest.scalar_subquery()) | still_open
        )
        found = self._connection.execute(wanted)
        return tuple(attempt_of(values) for values in found.mappings())

    def taken_back_under(self, revision: str, below: Iterable[str]) -> str | None:
        """Return one of those below a revision that was taken back since that was begun.

        It was begun by the first try since something has settled whether it is applied.
        """
        table = self.tables.attempts
        own = table.c.revision == revision
        settled = table.c.outcome.in_([outcome.value for outcome in SETTLING])
        last = select(func.coalesce(func.max(table.c.id), 0)).where(own, settled)
        first = select(func.min(table.c.id)).where(
            own,
            table.c.direction == Direction.UPGRADE.value,
            (table.c.statements_done > 0) | table.c.under_way.is_not(None),
            table.c.id > last.scalar_subquery(),
        )
        wanted = select(table.c.revision).where(
            table.c.revision == func.any(list(below)),
            table.c.direction == Direction.DOWNGRADE.value,
            settled,
            table.c.id > first.scalar_subquery(),
        )
        found: str | None = self._connection.scalar(wanted.limit(1))
        return found

    def committing(self, revision: Revision, direction: Direction) -> Attempt | None:
        """Return the latest try of a step that was about to commit in another database.

        Tries behind which the revision's status was settled in this one do not count.
        """
        table = self.tables.attempts
        own = table.c.revision == revision.id
        settled = table.c.outcome.in_([outcome.value for outcome in SETTLING])
        last = select(func.coalesce(func.max(table.c.id), 0)).where(own, settled)
        wanted = self._select_attempts().where(
            own,
            table.c.direction == direction.value,
            table.c.transaction_id.is_not(None),
            table.c.id > last.scalar_subquery(),
        )
        found = self._connection.execute(wanted.order_by(table.c.id.desc()).limit(1))
        values = found.mappings().first()
        return attempt_of(values) if values is not None else None

    def attempts_in(self, build: Build, since: datetime | None = None) -> tuple[Attempt, ...]:
        """Return the attempts and decisions of a build, oldest first.

        ``since`` is a time by the server's clock, as the build's row has it.
        """
        table = self.tables.attempts
        own = [table.c.build_number == build.number, table.c.build_id == build.id]
        if since is not None:
            own.append(table.c.started_at >= since)
        found = self._connection.execute(
            self._select_attempts().where(*own).order_by(table.c.id)
        )
        return tuple(attempt_of(values) for values in found.mappings())

    def _select_attempts(self) -> Select[Any]:
        """Return the query for attempts, each with the number of its build's row."""
        table = self.tables.attempts
        if not self.with_builds:
            return select(table, table.c.build_number.label(NUMBER_OF_ROW))
        apart = self._rows_apart()
        signed = literal(HEADING) + table.c.build_number + " (" + table.c.build_id + SIGNED
        number = func.coalesce(apart.c.number, table.c.build_number).label(NUMBER_OF_ROW)
        return select(table, number).outerjoin(apart, apart.c.signed == _begin(signed))

    def _rows_apart(self) -> Subquery:
        """Return the rows of builds whose number was taken, and how their logs begin."""
        table = self.tables.builds
        signed = _begin(func.pg_catalog.left(table.c.logs, HEAD)).label("signed")
        number = func.min(cast(table.c.build_number, Text)).label("number")
        named = func.pg_catalog.strpos(cast(table.c.build_number, Text), APART) > 0
        return select(signed, number).where(named).group_by(signed).subquery()


def _begin(log: Any) -> Any:
    return func.pg_catalog.split_part(log, SIGNED, 1)
