"""What a statement that runs by itself does, as far as the server can be asked about it.

Read from the statement's own words, without a connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from alembic_pgpipe.model import Remnant, RemnantKind
from alembic_pgpipe.source import (
    Statement,
    without_comments,
)
from alembic_pgpipe.source.forbidden import forbidden_in_transaction
from alembic_pgpipe.source.transaction import is_session_setting

WORD = r'(?:"(?:[^"]|"")+"|[\w$]+)'
NAME = rf"{WORD}(?:\s*\.\s*{WORD})*"
BUILD = re.compile(
    r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\b\s*(?:IF\s+NOT\s+EXISTS\b\s*)?"
    rf"(?:(?P<index>(?!ON\b){WORD})\s*)?\bON\b\s*(?:ONLY\b\s*)?(?P<table>{NAME})",
    re.IGNORECASE,
)
REINDEX = re.compile(
    r"REINDEX\s*(?:\([^)]*\)\s*)?(?P<kind>INDEX|TABLE|SCHEMA|DATABASE|SYSTEM)\b\s*"
    rf"(?:CONCURRENTLY\b\s*)?(?P<name>{NAME})?",
    re.IGNORECASE,
)
DETACH = re.compile(
    rf"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\b\s*)?(?P<parent>{NAME})\s*\*?\s*"
    rf"DETACH\s+PARTITION\b\s*(?P<partition>{NAME})\s*CONCURRENTLY",
    re.IGNORECASE,
)
MAKE = re.compile(
    rf"CREATE\s+(?P<kind>DATABASE|TABLESPACE|SUBSCRIPTION)\b\s*(?P<name>{WORD})", re.IGNORECASE
)
REMOVE = re.compile(
    r"DROP\s+(?P<kind>DATABASE|TABLESPACE|SUBSCRIPTION|INDEX\s+CONCURRENTLY)\b\s*"
    rf"(?:IF\s+EXISTS\b\s*)?(?P<name>{NAME})",
    re.IGNORECASE,
)
# Doing these twice does what doing them once does.
REPEATABLE = (
    "VACUUM", "ANALYZE", "ANALYSE", "CLUSTER", "CHECKPOINT", "REFRESH", "SHOW",
    "ALTER SYSTEM", "ALTER DATABASE", "CREATE OR REPLACE", "COMMENT", "GRANT", "REVOKE",
    "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT",
    # What these do ends with the session, so that it is to be done again in any case.
    "SET", "RESET", "DISCARD", "LOAD", "LISTEN", "UNLISTEN", "PREPARE", "DEALLOCATE",
    "DECLARE", "CLOSE", "FETCH", "MOVE", "LOCK",
)  # fmt: skip
# What these end is not the transaction that would be asked for.
ENDS_UNSEEN = re.compile(
    r"PREPARE\s+TRANSACTION\s*'|(?:COMMIT|ROLLBACK)\s+PREPARED\b"
    r"|(?:COMMIT|END|ROLLBACK|ABORT)\b[^']*\bAND\s+CHAIN\b",
    re.IGNORECASE,
)
GUARDED = re.compile(r"(?:CREATE|DROP|ALTER)\b[^'$]*?\bIF\s+(?:NOT\s+)?EXISTS\b", re.I | re.S)
# What begins with another word may end a transaction, or fail in one.
TRANSACTIONAL = frozenset({
    "ALTER", "COMMENT", "COPY", "CREATE", "DELETE", "DO", "DROP", "EXPLAIN", "GRANT",
    "IMPORT", "INSERT", "MERGE", "NOTIFY", "REASSIGN", "REFRESH", "REVOKE", "SECURITY",
    "SELECT", "TABLE", "TRUNCATE", "UPDATE", "VALUES", "WITH",
})  # fmt: skip
CONTROL = frozenset({"PREPARE", "COMMIT", "END", "ROLLBACK", "ABORT"})
ENDS_TRANSACTIONS = re.compile(r"\b(?:COMMIT|ROLLBACK|CALL|EXECUTE)\b", re.I)
TEMPORARY = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?:LOCAL\s+|GLOBAL\s+)?TEMP(?:ORARY)?\s+"
    r"(?:RECURSIVE\s+)?(?P<kind>TABLE|VIEW|SEQUENCE)\b\s*(?:IF\s+NOT\s+EXISTS\b\s*)?"
    rf"(?:pg_temp\s*\.\s*)?(?P<name>{WORD})",
    re.IGNORECASE,
)
INTO_TEMPORARY = re.compile(
    rf"\A(?:SELECT|WITH)\b.*?\bINTO\s+TEMP(?:ORARY)?\s+(?P<kind>TABLE\b)?\s*(?P<name>{WORD})",
    re.IGNORECASE | re.DOTALL,
)
CHANGES_ROWS = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE)
PREPARED = re.compile(rf"PREPARE\s+(?!TRANSACTION\s+')(?P<name>{WORD})", re.IGNORECASE)
SET_CONFIG = re.compile(
    r"SELECT\s+(?:pg_catalog\s*\.\s*)?set_config\s*\([^()]*,\s*'?(?:false|f|off|no|0)'?\s*\)"
    r"\s*;?\s*\Z",
    re.IGNORECASE,
)

CALLS_SET_CONFIG = re.compile(
    r"\bset_config\s*\((?![^()]*,\s*'?(?:true|t|on|yes|1)'?\s*\))", re.IGNORECASE
)
# Behind these words or signs a SET is a statement of its own, and no part of an UPDATE.
SETS_IN_BLOCK = re.compile(
    r"(?:\bBEGIN|\bTHEN|\bELSE|\bLOOP|;|')\s*SET\s+(?!LOCAL\b|CONSTRAINTS\b|TRANSACTION\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class BuildsIndex:
    """CREATE INDEX CONCURRENTLY; ``index`` is None where the server chooses the name."""

    index: str | None
    table: str


@dataclass(frozen=True, slots=True)
class Reindexes:
    """REINDEX of an index, a table, a schema, or all."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Detaches:
    """ALTER TABLE … DETACH PARTITION … CONCURRENTLY."""

    parent: str
    partition: str


@dataclass(frozen=True, slots=True)
class Makes:
    """CREATE DATABASE, TABLESPACE or SUBSCRIPTION."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class Removes:
    """DROP of the same, or DROP INDEX CONCURRENTLY."""

    kind: str
    name: str


class Plain(Enum):
    """A statement that leaves nothing behind for which the server could be asked."""

    REPEATABLE = "repeatable"
    UNKNOWN = "unknown"


Effect = BuildsIndex | Reindexes | Detaches | Makes | Removes | Plain


def effect_of(text: str) -> Effect:
    """Return what a statement that cannot run in a transaction does."""
    plain = plain_text(text)
    if match := BUILD.match(plain):
        return BuildsIndex(match["index"], match["table"])
    if match := REINDEX.match(plain):
        return Reindexes(match["kind"].upper(), match["name"] or "")
    if match := DETACH.match(plain):
        return Detaches(match["parent"], match["partition"])
    if match := MAKE.match(plain):
        return Makes(match["kind"].upper(), match["name"])
    if match := REMOVE.match(plain):
        return Removes(match["kind"].upper().split()[0], match["name"])
    return Plain.REPEATABLE if _may_repeat(plain) else Plain.UNKNOWN


def is_atomic(statement: Statement) -> bool:
    """Tell whether a statement may be put into a transaction of its own.

    It then is done or not done, and the server knows which.  CALL may end transactions;
    what is temporary would be done and yet be gone.
    """
    first = statement.words[0] if statement.words else ""
    if first not in TRANSACTIONAL or forbidden_in_transaction(statement) is not None:
        return False
    if is_session_statement(statement) or lost_with_session(statement) is not None:
        return False
    return first != "DO" or ENDS_TRANSACTIONS.search(statement.text) is None


def ends_unseen(statement: Statement) -> bool:
    """Tell whether what a statement ends, or leaves open, cannot be asked for afterwards."""
    first = statement.words[0] if statement.words else ""
    if first not in CONTROL:
        return False
    return ENDS_UNSEEN.match(plain_text(statement.text)) is not None


def is_session_statement(statement: Statement) -> bool:
    """Tell whether a statement only changes the session, so that it holds in no other."""
    if is_session_setting(statement) or statement.words[:1] in (("LOAD",), ("DISCARD",)):
        return True
    return statement.words[:1] == ("SELECT",) and bool(
        SET_CONFIG.match(plain_text(statement.text))
    )


def may_set_within(statement: Statement) -> bool:
    """Tell whether a statement may set something for its session besides what else it does."""
    first = statement.words[0] if statement.words else ""
    if first not in ("DO", "SELECT", "WITH", "INSERT", "VALUES"):
        return False
    plain = plain_text(statement.text)
    if is_session_statement(statement):
        return False
    in_block = first == "DO" and SETS_IN_BLOCK.search(plain) is not None
    return in_block or CALLS_SET_CONFIG.search(plain) is not None


def lost_with_session(statement: Statement) -> Remnant | None:
    """Return what a statement makes for its own session only, else None."""
    first = statement.words[0] if statement.words else ""
    if first not in ("CREATE", "SELECT", "WITH", "PREPARE"):
        return None
    plain = plain_text(statement.text)
    if match := PREPARED.match(plain):
        return _object("prepared statement", match["name"])
    if match := TEMPORARY.match(plain) or INTO_TEMPORARY.match(plain):
        return _object(f"temporary {(match['kind'] or 'table').lower()}", match["name"])
    return None


def _object(what: str, written: str) -> Remnant:
    quoted = written.startswith('"')
    name = written[1:-1].replace('""', '"') if quoted else written.lower()
    return Remnant(RemnantKind.OBJECT, name, what)


def plain_text(text: str) -> str:
    """Return a statement's text without comments."""
    return without_comments(Statement(text, 0, 1, 1, (), "")).strip()


def _may_repeat(plain: str) -> bool:
    words = " ".join(plain[:200].upper().split())
    if ENDS_UNSEEN.match(plain):
        return False
    if TEMPORARY.match(plain) or INTO_TEMPORARY.match(plain):
        return CHANGES_ROWS.search(plain) is None
    begins = any(re.match(rf"{word}\b", words) for word in REPEATABLE)
    return begins or GUARDED.match(plain) is not None
