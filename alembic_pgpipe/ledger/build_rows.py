"""The rows of ``migration_logs``: one for each build, with its outcome and its log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, literal, select, update
from sqlalchemy.dialects import postgresql

from alembic_pgpipe.ledger.relations import Relations
from alembic_pgpipe.ledger.tables import Tables, not_kept
from alembic_pgpipe.model import Attempt, BuildRecord


@dataclass(frozen=True, slots=True)
class BuildRows:
    """The builds of one ledger as seen through one connection.

    ``connect`` is asked for the connection each time: one that was lost is not the last.
    """

    connect: Callable[[], Connection]
    tables: Tables

    @property
    def connection(self) -> Connection:
        """Return the connection that there is now."""
        return self.connect()

    @property
    def schema(self) -> str:
        """Return the schema that the ledger lives in."""
        return self.tables.schema

    def create(self) -> None:
        """Create ``migration_logs`` alone, within the caller's transaction.

        That ``migrations`` is missing tells the first run to look for a history elsewhere.
        """
        Relations(self.connection, self.tables).create(self.tables.builds)

    def build(self, number: str | None = None) -> BuildRecord | None:
        """Return a build by its number, or the latest one; None where there is none."""
        table = self.tables.builds
        # A table that was made by hand may allow rows without.
        logs = func.coalesce(table.c.logs, "")
        wanted = select(table.c.build_number, table.c.status, table.c.timestamp, logs)
        if number is not None:
            wanted = wanted.where(table.c.build_number == number)
        latest = (table.c.timestamp.desc().nulls_last(), table.c.id.desc())
        found = self.connection.execute(wanted.order_by(*latest).limit(1)).first()
        return BuildRecord(*found) if found is not None else None

    def numbers(self) -> tuple[str, ...]:
        """Return the numbers of all builds."""
        return tuple(self.connection.scalars(select(self.tables.builds.c.build_number)))

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
        logs = table.c.logs + literal("\n") + literal(heading, table.c.logs.type)
        again = adding.on_conflict_do_update(
            index_elements=[table.c.build_number],
            set_={"logs": logs, "status": None, "timestamp": func.localtimestamp()},
            where=self._has(signature),
        )
        opened = bool(self.connection.execute(again).rowcount)
        if not opened:
            alive = self._alive(number)
            self.connection.execute(select(func.pg_catalog.pg_advisory_unlock_shared(alive)))
            if self.build(number) is None:
                raise not_kept(table, f"the row of build {number}")
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

    def close_dead_build(self, attempt: Attempt, own: str, line: str) -> None:
        """Close the build of an attempt as FAILURE, unless it is closed, or ours.

        ``own`` is the number of the build that found it, ``line`` what it found.
        """
        table = self.tables.builds
        dead = (table.c.build_number == attempt.build_number, table.c.status.is_(None))
        # Where it has no row, its number is that of another build.
        its = self._has(f" ({attempt.build_id}), ")
        self.connection.execute(
            update(table)
            .where(*dead, its, table.c.build_number != own)
            .values(status="FAILURE", logs=table.c.logs + line)
        )

    def close_abandoned_builds(self, sign: str, own: str, line: str) -> None:
        """Close as FAILURE each build, except ``own``, that is open and has no run any more.

        Only rows whose log holds ``sign`` are looked at: others are not ours.  A run is
        alive while it waits for its turn, too; what it holds then is in ``open_build``.
        """
        table = self.tables.builds
        left_open = (table.c.status.is_(None), self._has(sign))
        wanted = select(table.c.build_number).where(*left_open, table.c.build_number != own)
        for number in self.connection.scalars(wanted).all():
            nobody = func.pg_catalog.pg_try_advisory_xact_lock(self._alive(number))
            self.connection.execute(
                update(table)
                .where(table.c.build_number == number, table.c.status.is_(None), nobody)
                .values(status="FAILURE", logs=table.c.logs + line)
            )

    def _alive(self, number: str) -> Any:
        name = f"alembic-pgpipe {self.schema} build {self.held(number)}"
        return func.pg_catalog.hashtextextended(name, 0)

    def held(self, text: str) -> str:
        """Return a text as a row of this database holds it."""
        return self.tables.encoding.hold(text)

    def _has(self, sign: str) -> Any:
        return func.strpos(self.tables.builds.c.logs, self.held(sign)) > 0

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
            raise not_kept(table, f"the outcome of build {number}")


def _outcome(succeeded: bool) -> str:
    return "SUCCESS" if succeeded else "FAILURE"
