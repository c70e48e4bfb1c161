"""The ledger's part of a step: how a try begins, and how a small step's message does it all.

Of small steps in a row, the server has to understand the ledger's statements once: each
executes what the first one has prepared (PostgreSQL docs, PREPARE).  Values stand in the
text as literals: a message that holds a source's text takes no parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql

from alembic_pgpipe.ledger.elsewhere import VERSION, Place
from alembic_pgpipe.ledger.tables import Tables
from alembic_pgpipe.model import Attempt, Build, Direction, Hold, Revision, Row
from alembic_pgpipe.source.quoting import literal

CLOCK = "pg_catalog.clock_timestamp()"
# A server that crashes may forget this: then nothing of the step was applied, either.  What
# the step commits later is written behind it, and never without it.
FORGETFUL = "SET LOCAL synchronous_commit = off; "
# The status moves first: where somebody has decided meanwhile, no attempt is begun.
BEGIN = f"""\
WITH moved AS (
    UPDATE {{migrations}} SET applied_status='RUNNING', logs=NULL, started_at={CLOCK},
        finished_at=NULL, rolled_back_at=NULL
    WHERE id = %(id)s AND applied_status = %(was)s AND {{held}} RETURNING 1
), begun AS (
    INSERT INTO {{attempts}} (migration_name, revision, direction, outcome, build_number,
        build_id, commit_hash, who, checksum, directives, statements_total, statements_done,
        statement_hashes, statement_texts, under_way, session)
    SELECT %(migration_name)s, %(revision)s, %(direction)s, %(outcome)s, %(build_number)s,
        %(build_id)s, %(commit_hash)s, %(who)s, %(checksum)s, %(directives)s,
        CAST(%(statements_total)s AS integer), %(statements_done)s,
        CAST(%(statement_hashes)s AS text[]), CAST(%(statement_texts)s AS text[]),
        CAST(%(under_way)s AS jsonb), CAST(%(session)s AS jsonb)
    FROM moved RETURNING id
)
"""
MOVED = "SELECT (SELECT pg_catalog.count(*) FROM moved), (SELECT id FROM begun)"
# As part of a longer message it has no answer: without one of the rows the division fails, and
# with it the message; more than one are an error by themselves.
BEGUN = """\
SELECT 1 / CASE WHEN (SELECT 1 FROM moved) + (SELECT 1 FROM begun) = 2 THEN 1 ELSE 0 END;"""
# Version, status, attempt, as Alembic and the recorder write them one by one; it fails in the
# same way, and with it all of the message, where one of the three is not as it has to be.
SETTLE = f"""\
WITH version AS (
    {{version}} RETURNING 1
), settled AS (
    UPDATE {{migrations}} SET applied_status='SUCCESS', logs=NULL, finished_at={CLOCK}
    WHERE id = $1 AND applied_status = 'RUNNING' AND {{held}} RETURNING 1
), ended AS (
    UPDATE {{attempts}} SET outcome='SUCCESS', finished_at={CLOCK},
        duration_ms=pg_catalog.floor(
            EXTRACT(epoch FROM {CLOCK} - started_at)::numeric * 1000),
        statements_done=COALESCE(statements_total, statements_done)
    WHERE revision = $2 AND direction = '{Direction.UPGRADE.value}'
        AND outcome = 'RUNNING' RETURNING 1
)
SELECT 1 / CASE WHEN (SELECT 1 FROM version) + (SELECT 1 FROM settled)
    + (SELECT 1 FROM ended) = 3 THEN 1 ELSE 0 END;"""
BEGIN_NAME, SETTLE_NAME = "pgpipe_begin", "pgpipe_settle"
# What differs from one small step to the next.
OF_EACH = (
    *("id", "was", "migration_name", "revision", "checksum", "directives"),
    "statements_total",
)
# What a routine of a source has prepared is to be gone: with it, no step begins in this way.
ALONE = "(SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_statements) = 2"


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is known of a try at an upgrade when it begins.

    What ``before`` had finished, and what it had under way, stays known.
    """

    row: Row
    revision: Revision
    build: Build
    checksum: str | None
    directives: str
    total: int | None
    before: Attempt | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """A version that takes the place of another one in Alembic's table, or of none."""

    versions: Place
    before: str | None
    after: str


@dataclass(frozen=True, slots=True)
class SmallStep:
    """The ledger's part of a small step, for a session with ``standard_conforming_strings``.

    ``begin`` is not durable, and fails where the row has moved, ``settle`` where version, row
    or attempt is not as it has to be; both where the lock is lost.  They execute what the
    session keeps from ``prepare`` on, if that was in its message or in one before it.
    """

    prepare: str
    begin: str
    settle: str


def beginning(tables: Tables, hold: Hold | None, *, durable: bool) -> str:
    """Return the SQL, with parameters by name, that moves a row to RUNNING and begins a try.

    Its one row says how many rows have moved, and the attempt's id.
    """
    text = _beginning(tables, held(hold)) + MOVED
    return text if durable else FORGETFUL + text


def small_step(
    tables: Tables, hold: Hold | None, values: Mapping[str, Any], move: Move
) -> SmallStep:
    """Return the ledger's part of a small step, whose ``values`` are those of ``beginning``."""
    return SmallStep(
        prepare=_preparing(tables, hold, values, move),
        begin=FORGETFUL + _execute(BEGIN_NAME, *(values[name] for name in OF_EACH)),
        settle=_execute(SETTLE_NAME, values["id"], move.after, *filter(None, [move.before])),
    )


def _preparing(tables: Tables, hold: Hold | None, values: Mapping[str, Any], move: Move) -> str:
    literals = {name: _literal(value) for name, value in values.items()}
    places = {name: f"${number}" for number, name in enumerate(OF_EACH, 1)}
    begin = _beginning(tables, f"{ALONE} AND {held(hold)}") % {**literals, **places}
    settle = SETTLE.format(**_names(tables), version=_moving(move), held=held(hold))
    return f"PREPARE {BEGIN_NAME} AS {begin}{BEGUN}PREPARE {SETTLE_NAME} AS {settle}"


def _execute(name: str, *values: str | int | None) -> str:
    return f"EXECUTE {name} ({', '.join(map(_literal, values))});"


def held(hold: Hold | None) -> str:
    """Return the condition that a run's lock is held; without one, that holds."""
    if hold is None:
        return "true"
    # Nobody else knows the key: who can have the lock has found it given up.  To look into
    # pg_locks would hold up everybody who wants a lock on this server.
    return f"NOT pg_catalog.pg_try_advisory_xact_lock_shared({hold.key})"


def _beginning(tables: Tables, condition: str) -> str:
    names = {key: name.replace("%", "%%") for key, name in _names(tables).items()}
    return BEGIN.format(**names, held=condition)


def _literal(value: str | int | list[str] | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return f"ARRAY[{','.join(literal(one) for one in value)}]"
    return literal(value) if isinstance(value, str) else str(value)


def _moving(move: Move) -> str:
    quote = plain_dialect().identifier_preparer.quote
    versions = f"{quote(move.versions.schema)}.{quote(move.versions.name)}"
    if move.before is None:
        return f"INSERT INTO {versions} ({VERSION}) VALUES ($2)"
    return f"UPDATE {versions} SET {VERSION}=$2 WHERE {VERSION} = $3"


def _names(tables: Tables) -> dict[str, str]:
    quote = plain_dialect().identifier_preparer
    return {
        "migrations": quote.format_table(tables.migrations),
        "attempts": quote.format_table(tables.attempts),
    }


def plain_dialect() -> Dialect:
    """Return what names are quoted with in a text that takes no parameters.

    The driver's own dialect doubles each % in them.
    """
    dialect: Dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    return dialect
