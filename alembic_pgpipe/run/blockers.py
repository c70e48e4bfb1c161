"""Who was in the way: the sessions that hold locks when a step could not get its own."""

from __future__ import annotations

from sqlalchemy import Connection, text

QUERY_LIMIT = 80
# Locks of the tool's own connections are no news: the step's are given back already.
LOCK_HOLDERS = text(
    """
    SELECT a.pid, a.usename, a.state,
           floor(extract(epoch FROM clock_timestamp() - a.xact_start)) AS seconds, a.query
    FROM pg_catalog.pg_stat_activity AS a
    WHERE a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()
      AND a.application_name NOT LIKE :own
      AND EXISTS (SELECT 1 FROM pg_catalog.pg_locks AS l
                  WHERE l.pid = a.pid AND l.granted AND l.locktype = 'relation')
    ORDER BY a.xact_start LIMIT 5
    """
)


def lock_holders(journal: Connection, application: str) -> tuple[str, ...]:
    """Return a line for each other session that holds table locks in this database.

    ``application`` is how the tool's own sessions call themselves.  Another user's query
    is only readable to roles with ``pg_read_all_stats``.
    """
    found = journal.execute(LOCK_HOLDERS, {"own": f"{application}%"})
    return tuple(
        f"locks are held by process {row.pid} ({row.usename}, {row.state or 'state unknown'}"
        f"{_age(row.seconds)}): {' '.join((row.query or '').split())[:QUERY_LIMIT]}"
        for row in found
    )


def _age(seconds: float | None) -> str:
    return f", for {seconds:.0f} s" if seconds is not None else ""
