"""The ledger's part of a small step, as SQL that goes out together with the step.

Values stand in the text as literals: a message that holds a source's text takes no
parameters.  Nothing of it is prepared ahead: what a source calls could put something else
under that name, to be executed with the rights of the run.
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
        %(statements_total)s, %(statements_done)s, CAST(%(statement_hashes)s AS text[]),
        CAST(%(statement_texts)s AS text[]), CAST(%(under_way)s AS jsonb),
        CAST(%(session)s AS jsonb)
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
    WHERE id = {{id}} AND applied_status = 'RUNNING' AND {{held}} RETURNING 1
), ended AS (
    UPDATE {{attempts}} SET outcome='SUCCESS', finished_at={CLOCK},
        duration_ms=pg_catalog.floor(
            EXTRACT(epoch FROM {CLOCK} - started_at)::numeric * 1000),
        statements_done=COALESCE(statements_total, statements_done)
    WHERE revision = {{revision}} AND direction = '{Direction.UPGRADE.value}'
        AND outcome = 'RUNNING' RETURNING 1
)
SELECT 1 / CASE WHEN (SELECT 1 FROM version) + (SELECT 1 FROM settled)
    + (SELECT 1 FROM ended) = 3 THEN 1 ELSE 0 END;"""


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


def beginning(tables: Tables, hold: Hold | None, *, durable: bool) -> str:
    """Return the SQL, with parameters by name, that moves a row to RUNNING and begins a try.

    Its one row says how many rows have moved, and the attempt's id.
    """
    text = _beginning(tables, hold) + MOVED
    return text if durable else FORGETFUL + text


def beginning_at_once(tables: Tables, hold: Hold | None, values: Mapping[str, Any]) -> str:
    """Return the same with its values in it, for a message that goes on; or else it fails.

    It is not durable, and for a session with ``standard_conforming_strings``.
    """
    literals = {name: _literal(value) for name, value in values.items()}
    return FORGETFUL + _beginning(tables, hold) % literals + BEGUN


def settling(tables: Tables, hold: Hold | None, row: str, move: Move) -> str:
    """Return the SQL that moves the version and settles row and attempt, or else fails.

    The attempt is the one at the new version that is open; the row of the tool before this
    one has an id of its own.  It is for a session with ``standard_conforming_strings``.
    """
    return SETTLE.format(
        **_names(tables),
        version=_moving(move),
        id=literal(row),
        revision=literal(move.after),
        held=held(hold),
    )


def held(hold: Hold | None) -> str:
    """Return the condition that a run's lock is held; without one, that holds."""
    if hold is None:
        return "true"
    # Nobody else knows the key: who can have the lock has found it given up.  To look into
    # pg_locks would hold up everybody who wants a lock on this server.
    return f"NOT pg_catalog.pg_try_advisory_xact_lock_shared({hold.key})"


def _beginning(tables: Tables, hold: Hold | None) -> str:
    names = {key: name.replace("%", "%%") for key, name in _names(tables).items()}
    return BEGIN.format(**names, held=held(hold))


def _literal(value: str | int | list[str] | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return f"ARRAY[{','.join(literal(one) for one in value)}]"
    return literal(value) if isinstance(value, str) else str(value)


def _moving(move: Move) -> str:
    quote = plain_dialect().identifier_preparer.quote
    versions = f"{quote(move.versions.schema)}.{quote(move.versions.name)}"
    after = literal(move.after)
    if move.before is None:
        return f"INSERT INTO {versions} ({VERSION}) VALUES ({after})"
    return f"UPDATE {versions} SET {VERSION}={after} WHERE {VERSION} = {literal(move.before)}"


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
