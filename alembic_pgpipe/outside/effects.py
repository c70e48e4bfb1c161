"""What a statement that runs by itself does, as far as the server can be asked about it.

Read from the statement's own words, without a connection.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile
from types import MappingProxyType

from alembic_pgpipe.model import Remnant, RemnantKind
from alembic_pgpipe.source.forbidden import forbidden_in_transaction
from alembic_pgpipe.source.reader import Statement, without_comments
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
# Of a name without quotes, PostgreSQL turns only these letters to small ones.
FOLDED = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
DONE = re.compile(r"\s*/\*\s*done\s*\*/", re.IGNORECASE)
CONTROL = frozenset({"PREPARE", "COMMIT", "END", "ROLLBACK", "ABORT"})
ENDS_TRANSACTIONS = re.compile(r"\b(?:COMMIT|ROLLBACK|CALL|EXECUTE)\b", re.I)
TEMPORARY = re.compile(
    r"CREATE\s+(?:OR\s+REPLACE\s+)?(?=(?:(?:LOCAL|GLOBAL)\s+)?TEMP(?:ORARY)?\s"
    r"|(?:\w+\s+)+pg_temp\s*\.)"
    r"(?:LOCAL\s+|GLOBAL\s+)?(?:TEMP(?:ORARY)?\s+)?(?:RECURSIVE\s+)?"
    r"(?P<kind>TABLE|VIEW|SEQUENCE)\b\s*(?:IF\s+NOT\s+EXISTS\b\s*)?"
    rf"(?:pg_temp\s*\.\s*)?(?P<name>{WORD})",
    re.IGNORECASE,
)
INTO_TEMPORARY = re.compile(
    rf"\A(?:SELECT|WITH)\b.*?\bINTO\s+TEMP(?:ORARY)?\s+(?P<kind>TABLE\b)?\s*(?P<name>{WORD})",
    re.IGNORECASE | re.DOTALL,
)
CURSOR = re.compile(rf"DECLARE\s+(?P<name>{WORD})", re.IGNORECASE)
HOLDS = re.compile(r"\bWITH\s+HOLD\b", re.IGNORECASE)
PREPARED = re.compile(rf"PREPARE\s+(?!TRANSACTION\s+')(?P<name>{WORD})", re.IGNORECASE)
SET_CONFIG = re.compile(
    r"SELECT\s+(?:pg_catalog\s*\.\s*)?set_config\s*\([^()]*,\s*'?(?:false|f|off|no|0)'?\s*\)"
    r"\s*;?\s*\Z",
    re.IGNORECASE,
)
SETS = re.compile(
    r"(?:SET|RESET)\s+(?:SESSION\s+(?!AUTHORIZATION\b))?(?P<name>[\w.$]+)"
    r"|SELECT\s+(?:pg_catalog\s*\.\s*)?set_config\s*\(\s*'(?P<config>[\w.$]+)'",
    re.IGNORECASE,
)
SETS_LOCALLY = re.compile(r"SET\s+LOCAL\s+(?P<name>[\w.$]+)", re.IGNORECASE)
AUTHORIZATION = frozenset({"session_authorization", "role"})
# What other settings a statement sets whose first word, or second one, is no name of one.
OTHER_NAMES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "time": frozenset({"timezone"}),
        "session": AUTHORIZATION,
        "session_authorization": AUTHORIZATION,
        "characteristics": frozenset(
            f"default_transaction_{name}" for name in ("isolation", "read_only", "deferrable")
        ),
        "names": frozenset({"client_encoding"}),
        "schema": frozenset({"search_path"}),
        "xml": frozenset({"xmloption"}),
    }
)
EVERYTHING = "all"


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
    what is temporary would be done and yet be gone, so that it is rather made once more
    where that runs no query.
    """
    first = statement.words[0] if statement.words else ""
    plain = plain_text(statement.text)
    if first == "DECLARE":
        return HOLDS.search(plain) is not None
    if first not in TRANSACTIONAL or forbidden_in_transaction(statement) is not None:
        return False
    if is_session_statement(statement) or _only_defines(plain):
        return False
    return first != "DO" or ENDS_TRANSACTIONS.search(statement.text) is None


def says_done(statement: Statement) -> bool:
    """Tell whether a person has written in front of a statement that it was done."""
    return DONE.match(statement.text) is not None


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


def set_by(statements: Iterable[Statement]) -> frozenset[str]:
    """Return the names of what statements set for their session; EVERYTHING by RESET ALL.

    They are in lower case.  What a function sets is not among them.
    """
    return _names(SETS, filter(is_session_statement, statements))


def set_first(statements: Iterable[Statement]) -> frozenset[str]:
    """Return the names of what statements set before they do anything else."""
    return set_by(takewhile(is_session_statement, statements))


def set_locally(statements: Iterable[Statement]) -> frozenset[str]:
    """Return the names of what statements set for their transaction."""
    return _names(SETS_LOCALLY, statements)


def _names(pattern: re.Pattern[str], statements: Iterable[Statement]) -> frozenset[str]:
    found = (pattern.match(plain_text(statement.text)) for statement in statements)
    names = [next(filter(None, match.groups())).lower() for match in found if match]
    return frozenset().union(*(OTHER_NAMES.get(name, frozenset({name})) for name in names))


def lost_with_session(statement: Statement) -> Remnant | None:
    """Return what a statement makes for its own session only, else None."""
    first = statement.words[0] if statement.words else ""
    if first not in ("CREATE", "DECLARE", "SELECT", "WITH", "PREPARE"):
        return None
    plain = plain_text(statement.text)
    if match := CURSOR.match(plain):
        return _object("cursor", match["name"])
    if match := PREPARED.match(plain):
        return _object("prepared statement", match["name"])
    if match := TEMPORARY.match(plain) or INTO_TEMPORARY.match(plain):
        return _object(f"temporary {(match['kind'] or 'table').lower()}", match["name"])
    return None


def _object(what: str, written: str) -> Remnant:
    quoted = written.startswith('"')
    name = written[1:-1].replace('""', '"') if quoted else written.translate(FOLDED)
    return Remnant(RemnantKind.OBJECT, name, what)


def plain_text(text: str) -> str:
    """Return a statement's text without comments."""
    return without_comments(Statement(text, 0, 1, 1, (), "")).strip()


def _only_defines(plain: str) -> bool:
    """Tell whether a statement makes something temporary, and runs no query for it."""
    match = TEMPORARY.match(plain)
    return match is not None and (
        match["kind"].upper() != "TABLE" or " AS " not in _words(plain)
    )


def _words(plain: str) -> str:
    return " ".join(plain.upper().split())


def _may_repeat(plain: str) -> bool:
    if ENDS_UNSEEN.match(plain):
        return False
    if TEMPORARY.match(plain):
        return _only_defines(plain)
    words = _words(plain[:200])
    begins = any(re.match(rf"{word}\b", words) for word in REPEATABLE)
    return begins or GUARDED.match(plain) is not None
