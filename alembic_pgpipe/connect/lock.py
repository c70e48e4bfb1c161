"""The lock: one run at a time on one ledger.

An idle transaction holds a transaction-level advisory lock and nothing else: no
snapshot, so CREATE INDEX CONCURRENTLY never waits for it, and no session state, so
a pooler in transaction mode cannot strand it.  Whoever wants it polls; a blocking
wait would hold a snapshot and end in a deadlock with an index build.
"""

from __future__ import annotations

import hashlib
import secrets
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from alembic_pgpipe.connect.connector import APPLICATION, NAME_LIMIT
from alembic_pgpipe.connect.database import Database
from alembic_pgpipe.errors import LockError
from alembic_pgpipe.model import Hold, Holder

POLL_SECONDS = 0.5
TOLD_EVERY_SECONDS = 30.0
# Of what pg_stat_activity shows of a session, what is left for the build's number.
ROOM = NAME_LIMIT - len(APPLICATION) - 1
# What two projects' numbers differ in may be at either end, more likely at the last one.
CUT, LAST = "...", 30
TRY = text("SELECT pg_catalog.pg_try_advisory_xact_lock(:key)")
# The second lock goes with the first one, whatever ends the session; see Hold.  Another level
# would keep a snapshot, and CREATE INDEX CONCURRENTLY waits for whoever has an older one.
TRY_BOTH = text(
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; "
    "SELECT CASE WHEN pg_catalog.pg_try_advisory_xact_lock(:key) "
    "THEN pg_catalog.pg_try_advisory_xact_lock(:own) ELSE false END"
)
# An advisory lock's 64-bit key shows in pg_locks as two halves, with objsubid 1.
HOLDER = text(
    """
    SELECT l.pid, a.application_name, a.xact_start,
           EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::float8 AS age
    FROM pg_catalog.pg_locks AS l
    LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_catalog.pg_database
                        WHERE datname = pg_catalog.current_database())
      AND (l.classid::bigint << 32) | l.objid::bigint = :key
    """
)


def lock_key(schema: str) -> int:
    """Return the 64-bit key of a ledger's lock; databases have their own key spaces."""
    digest = hashlib.sha256(f"{APPLICATION} {schema}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def shown(build: str) -> str:
    """Return a build's number as other sessions see it: a long one lacks its middle."""
    # The server shows no other characters, and one in LATIN1 would refuse them.
    plain = build.encode("ascii", "replace").decode()
    if len(plain) <= ROOM:
        return plain
    return plain[: ROOM - len(CUT) - LAST] + CUT + plain[-LAST:]


def holder(connection: Connection, schema: str) -> Holder | None:
    """Return who holds the lock now, or None."""
    return holder_of(connection, lock_key(schema))


def holder_of(connection: Connection, key: int) -> Holder | None:
    """Return who holds an advisory lock of ours in this database now, or None."""
    found = connection.execute(HOLDER, {"key": key}).first()
    if found is None:
        return None
    build = str(found.application_name or "").removeprefix(APPLICATION).strip() or "unknown"
    # As a number: an interval of the server's style may be one that the driver cannot read.
    age = timedelta(seconds=found.age) if found.age is not None else None
    return Holder(pid=found.pid, build=build, since=found.xact_start, age=age)


@contextmanager
def run_lock(
    database: Database, schema: str, build: str, wait: float, say: Callable[[str], None]
) -> Iterator[Hold]:
    """Hold the lock for a run; ``wait`` is in seconds.

    Raises LockError, which names the holder, when the lock cannot be had in time.  Where
    its session ends before the run does, only the ledger's writes notice.
    """
    with database.connect(f"{APPLICATION} {shown(build)}") as connection:
        hold = Hold(int.from_bytes(secrets.token_bytes(8), "big", signed=True))
        _poll(connection, schema, hold, wait, say)
        try:
            yield hold
        finally:
            _give_up(connection)


def lock_until_commit(connection: Connection, schema: str) -> bool:
    """Take the lock for the rest of a transaction; return whether it could be had at once."""
    return bool(connection.scalar(TRY, {"key": lock_key(schema)}))


def _give_up(connection: Connection) -> None:
    try:
        connection.rollback()
    except DBAPIError:
        # The session is gone, and the lock with it.
        connection.invalidate()


def _poll(
    connection: Connection, schema: str, hold: Hold, wait: float, say: Callable[[str], None]
) -> None:
    deadline = time.monotonic() + wait
    told = float("-inf")
    while not connection.scalar(TRY_BOTH, {"key": lock_key(schema), "own": hold.key}):
        current = holder(connection, schema)
        connection.rollback()
        if time.monotonic() >= deadline:
            raise LockError(_given_up(current, wait))
        if current is not None and time.monotonic() - told >= TOLD_EVERY_SECONDS:
            say(f"waiting for the lock, held by {current}")
            told = time.monotonic()
        time.sleep(min(POLL_SECONDS, max(0.0, deadline - time.monotonic())))


def _given_up(current: Holder | None, wait: float) -> str:
    who = f"by {current}" if current else "by a run that has just ended"
    log = (
        f"alembic pgpipe log {shlex.quote(current.build)}" if current else "alembic pgpipe log"
    )
    return (
        f"The lock is held {who}; waited {wait:g} s and nothing was run. "
        f"Wait for that build, or look at it: {log}. "
        "How long to wait is pgpipe.lock_wait."
    )
