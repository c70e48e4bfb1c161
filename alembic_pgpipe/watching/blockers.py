"""Who was in the way: the sessions that a step waited for, or that hold what it wanted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from alembic_pgpipe.showable import duration, in_one_line
from alembic_pgpipe.sqlstates import (
    CANCELED,
    DEADLOCK,
    LOCK_NOT_AVAILABLE,
    SERIALIZATION_FAILURE,
)

QUERY_LIMIT = 80
WORDS_LIMIT = 500
# The last is a statement time-out while waiting.
WAITED = frozenset({LOCK_NOT_AVAILABLE, DEADLOCK, SERIALIZATION_FAILURE, CANCELED})
BLOCKED_BY = re.compile(r"blocked by process (\d+)")
WORD = re.compile(r"[^\W\d][\w$]*")

# Who may not see another user's activity is told a sentence in place of the query.
_ABOUT = """a.pid, coalesce(a.usename, a.backend_type), a.state,
           floor(extract(epoch FROM clock_timestamp() - a.xact_start)) AS seconds,
           CASE WHEN a.query <> '<insufficient privilege>' THEN a.query END"""
# pg_blocking_pids stops the server's lock manager for a moment: only ask for who waits.
WAITED_FOR = f"""
    SELECT DISTINCT {_ABOUT}
    FROM pg_catalog.pg_stat_get_activity(%(pid)s) AS me
    CROSS JOIN LATERAL pg_catalog.unnest(
        CASE WHEN me.wait_event_type = 'Lock'
        THEN pg_catalog.pg_blocking_pids(me.pid) END) AS blocker (pid)
    JOIN pg_catalog.pg_stat_activity AS a ON a.pid = blocker.pid
    ORDER BY seconds DESC NULLS LAST
    """
SESSIONS = f"""
    SELECT {_ABOUT} FROM pg_catalog.pg_stat_activity AS a WHERE a.pid = ANY (%(pids)s)
    """
HOLDERS = f"""
    SELECT DISTINCT {_ABOUT}
    FROM pg_catalog.pg_locks AS l
    JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
    JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.granted AND l.locktype = 'relation' AND c.relname = ANY (%(names)s)
      AND l.database = (SELECT oid FROM pg_catalog.pg_database
                        WHERE datname = pg_catalog.current_database())
      AND a.pid NOT IN (%(pid)s, pg_catalog.pg_backend_pid())
    ORDER BY seconds DESC NULLS LAST LIMIT 5
    """
# Asks the server something on the journal connection; returns the rows.
Ask = Callable[[str, dict[str, Any]], Sequence[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Blocker:
    """A session that is in the way; what the server does not tell of it is None.

    ``seconds`` is how old its transaction is, ``query`` what it has sent last.
    """

    pid: int
    user: str | None
    state: str | None
    seconds: float | None
    query: str | None

    @property
    def named(self) -> str:
        """Return who it is, without what it has sent."""
        age = f", for {duration(self.seconds)}" if self.seconds is not None else ""
        user, state = in_one_line(self.user or "nobody"), self.state or "state unknown"
        return f"blocked by process {self.pid} ({user}, {state}{age})"

    def __str__(self) -> str:
        words = " ".join((self.query or "").split())[:QUERY_LIMIT]
        return f"{self.named}: {words}" if words else self.named


@dataclass(slots=True)
class Blockers:
    """The sessions that server process ``pid`` had to wait for, the last time it waited.

    ``now`` are those that it waits for at this moment.  Another user's query is only
    readable to roles with ``pg_read_all_stats``.
    """

    ask: Ask
    pid: int
    seen: tuple[Blocker, ...] = ()
    now: tuple[Blocker, ...] = ()

    def look(self) -> None:
        """See whom the process waits for now; what was seen before stays if it does not."""
        self.now = self._asked(WAITED_FOR, {"pid": self.pid})
        self.seen = self.now or self.seen

    def named(self, sqlstate: str | None, detail: str | None, sql: str) -> tuple[Blocker, ...]:
        """Return the sessions that were in the way of a statement that failed.

        A deadlock names the processes itself.  Where the statement did not wait long
        enough to be looked at, those that hold locks on what it mentions are named.
        """
        if sqlstate not in WAITED:
            return ()
        pids = [int(pid) for pid in BLOCKED_BY.findall(detail or "") if int(pid) != self.pid]
        if not self.seen and pids:
            return self._asked(SESSIONS, {"pids": pids})
        if not self.seen and sqlstate == LOCK_NOT_AVAILABLE:
            names = list(dict.fromkeys(WORD.findall(sql)))[:WORDS_LIMIT]
            names += [name.lower() for name in names]
            return self._asked(HOLDERS, {"names": names, "pid": self.pid})
        return self.seen

    def forget(self) -> None:
        """Begin anew, with another statement."""
        self.seen = self.now = ()

    def _asked(self, sql: str, values: dict[str, Any]) -> tuple[Blocker, ...]:
        return tuple(Blocker(*row) for row in self.ask(sql, values))
