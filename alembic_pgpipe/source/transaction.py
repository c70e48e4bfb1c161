"""May a source run inside one transaction, decided before anything runs.

As psql does, the kind of a statement is decided from its leading keywords.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.directives import Directives, Transaction
from alembic_pgpipe.source.reader import Statement, without_comments

OFF_HINT = "write `-- pgpipe: transaction = off` at the top"
NOT_SETTINGS = frozenset({"LOCAL", "TRANSACTION", "CONSTRAINTS"})
WHOLE_OBJECTS = frozenset({"DATABASE", "SYSTEM", "SCHEMA"})
NOISE = frozenset({"WORK", "TRANSACTION"})
BEGIN_HEAD = re.compile(
    r"(?:START\s+TRANSACTION|BEGIN(?:\s+(?:WORK|TRANSACTION))?)\b", re.I | re.A
)
_MODE = (
    r"(?:ISOLATION LEVEL (?:SERIALIZABLE|REPEATABLE READ|READ COMMITTED|READ UNCOMMITTED)"
    r"|READ WRITE|READ ONLY|(?:NOT )?DEFERRABLE)"
)
MODES = re.compile(rf"{_MODE}(?:,? {_MODE})*\Z")
REINDEX = re.compile(r"REINDEX\s*(?:\(([^)]*)\))?\s*(\w+)(\s+CONCURRENTLY\b)?", re.I | re.A)
OPTION = re.compile(r"\bCONCURRENTLY\b\s*'?(\w*)", re.I | re.A)
CLUSTER_ALL = re.compile(r"CLUSTER\s*(?:VERBOSE\b|\([^)]*\))?\s*;?\s*\Z", re.I | re.A)
OFFLINE = re.compile(
    r"\b(?:connect|create_slot|refresh)\s*=\s*'?(?:false|off|0)\b", re.I | re.A
)
REFRESHING = frozenset({"SET", "ADD", "DROP"})
FALSE = frozenset({"false", "off", "0"})


class Mode(Enum):
    """How a source is run."""

    TRANSACTION = "transaction"
    AUTOCOMMIT = "autocommit"


@dataclass(frozen=True, slots=True)
class Execution:
    """What to send, and how.

    The BEGIN and COMMIT of an absorbed envelope are not among the statements; ``begin``
    holds the modes that stood behind its BEGIN, for SET TRANSACTION.
    """

    mode: Mode
    statements: tuple[Statement, ...]
    begin: str | None = None


@dataclass(frozen=True, slots=True)
class _Envelope:
    """The one BEGIN … COMMIT of a source."""

    begin: Statement
    commit: Statement


def decide_execution(
    statements: Sequence[Statement],
    directives: Directives,
    path: str,
    require_transaction: bool,
) -> Execution:
    """Decide how a source is run; raise :class:`SourceError` where it may not be."""
    if directives.transaction is Transaction.OFF:
        return Execution(Mode.AUTOCOMMIT, tuple(statements))
    envelope = _envelope(statements, path)
    if envelope is not None:
        return _absorb(statements, envelope, path)
    if _runs_alone(statements, directives, path):
        return Execution(Mode.AUTOCOMMIT, tuple(statements))
    if require_transaction and statements:
        message = (
            "pgpipe.require_transaction is set, and this source has no BEGIN and COMMIT "
            "around it; put BEGIN; before this and COMMIT; at the end"
        )
        raise _error(path, statements[0], message)
    return Execution(Mode.TRANSACTION, tuple(statements))


def is_session_setting(statement: Statement) -> bool:
    """Tell whether a statement is SET or RESET for the session, not for a transaction."""
    words = statement.words
    if words[:1] == ("RESET",):
        return True
    return words[:1] == ("SET",) and words[1:2] != () and words[1] not in NOT_SETTINGS


def forbidden_in_transaction(statement: Statement) -> str | None:
    """Return the name of a statement that cannot run in a transaction, else None."""
    first = statement.words[0] if statement.words else ""
    if first == "CLUSTER":
        whole = CLUSTER_ALL.match(without_comments(statement))
        return "CLUSTER without a table" if whole else None
    if first == "REINDEX":
        return _forbidden_reindex(statement)
    if first in ("CREATE", "DROP"):
        return _forbidden_create_or_drop(statement)
    if first == "ALTER":
        return _forbidden_alter(statement)
    if statement.words[:2] == ("DISCARD", "ALL"):
        return "DISCARD ALL"
    return "VACUUM" if first == "VACUUM" else None


def _forbidden_reindex(statement: Statement) -> str | None:
    """Name REINDEX of more than one table, or without locks."""
    match = REINDEX.match(without_comments(statement))
    if match is None:
        return None
    options = OPTION.findall(match[1] or "")
    if match[3] or any(value.lower() not in FALSE for value in options):
        return "REINDEX CONCURRENTLY"
    kind = match[2].upper()
    return f"REINDEX {kind}" if kind in WHOLE_OBJECTS else None


def _forbidden_create_or_drop(statement: Statement) -> str | None:
    """Name CREATE and DROP of databases, tablespaces, subscriptions, and CONCURRENTLY."""
    first, *rest = statement.words
    if rest[:1] == ["UNIQUE"]:
        rest = rest[1:]
    if rest[:2] == ["INDEX", "CONCURRENTLY"]:
        return f"{first} INDEX CONCURRENTLY"
    if rest[:1] in (["DATABASE"], ["TABLESPACE"]):
        return f"{first} {rest[0]}"
    # Without a connection there is no slot to create on the other server.
    if rest[:1] == ["SUBSCRIPTION"] and not OFFLINE.search(without_comments(statement)):
        return f"{first} SUBSCRIPTION"
    return None


def _forbidden_alter(statement: Statement) -> str | None:
    """Name those forms of ALTER that cannot run in a transaction."""
    words = statement.words
    second = words[1] if len(words) > 1 else ""
    if second == "SYSTEM":
        return "ALTER SYSTEM"
    if second == "DATABASE" and "TABLESPACE" in words[3:5]:
        return "ALTER DATABASE SET TABLESPACE"
    if second == "TABLE" and _detaches_concurrently(words):
        return "ALTER TABLE … DETACH PARTITION … CONCURRENTLY"
    if second == "SUBSCRIPTION" and _refreshes(statement):
        return "ALTER SUBSCRIPTION with a refresh"
    return None


def _detaches_concurrently(words: tuple[str, ...]) -> bool:
    """Find DETACH PARTITION name CONCURRENTLY."""
    return any(
        words[at : at + 2] == ("DETACH", "PARTITION")
        and words[at + 3 : at + 4] == ("CONCURRENTLY",)
        for at in range(len(words))
    )


def _refreshes(statement: Statement) -> bool:
    """Tell whether ALTER SUBSCRIPTION refreshes; SET PUBLICATION does unless told not to."""
    words = statement.words
    if words[3:4] == ("REFRESH",):
        return True
    changes = words[3:4] != () and words[3] in REFRESHING and words[4:5] == ("PUBLICATION",)
    return changes and not OFFLINE.search(without_comments(statement))


def _envelope(statements: Sequence[Statement], path: str) -> _Envelope | None:
    """Return the one BEGIN … COMMIT of a source, or None where there is none."""
    begin: Statement | None = None
    commit: Statement | None = None
    for statement in statements:
        _refuse_control(statement, path)
        kind = _control(statement)
        if kind == "BEGIN":
            if begin is not None:
                raise _second_begin(path, statement, inside=commit is None)
            begin = statement
        elif kind == "COMMIT":
            if begin is None or commit is not None:
                raise _stray_commit(path, statement, first=begin is None)
            commit = statement
    if begin is None:
        return None
    if commit is None:
        message = "this BEGIN is never committed; add COMMIT; as the last statement"
        raise _error(path, begin, message)
    return _Envelope(begin, commit)


def _control(statement: Statement) -> str:
    """Return BEGIN or COMMIT for the statements that open and close an envelope."""
    first = statement.words[0] if statement.words else ""
    if first == "BEGIN" or statement.words[:2] == ("START", "TRANSACTION"):
        return "BEGIN"
    return "COMMIT" if first in ("COMMIT", "END") else ""


def _refuse_control(statement: Statement, path: str) -> None:
    """Refuse transaction control that nothing can absorb."""
    words = tuple(word for word in statement.words if word not in NOISE)
    first = words[0] if words else ""
    if first == "PREPARE" and statement.words[1:2] == ("TRANSACTION",):
        message = "PREPARE TRANSACTION leaves the outcome open; write COMMIT instead, or "
    elif first in ("COMMIT", "ROLLBACK") and words[1:2] == ("PREPARED",):
        message = f"{first} PREPARED ends a transaction of somebody else's; run it by hand, or "
    elif first == "ABORT" or (first == "ROLLBACK" and words[1:2] != ("TO",)):
        message = (
            f"{first} would undo this revision; remove it, or use ROLLBACK TO a savepoint, or "
        )
    elif first in ("COMMIT", "END") and words[1:3] == ("AND", "CHAIN"):
        message = "AND CHAIN opens a second transaction; split the file into two sources, or "
    else:
        return
    raise _error(path, statement, message + OFF_HINT)


def _second_begin(path: str, statement: Statement, *, inside: bool) -> SourceError:
    """Return the error for a BEGIN behind the first one."""
    message = "a second BEGIN: a source has one block at most; "
    if inside:
        message += "remove it (or add the COMMIT that is missing above it), or "
    else:
        message += "split the file into two sources, or "
    return _error(path, statement, message + OFF_HINT)


def _stray_commit(path: str, statement: Statement, *, first: bool) -> SourceError:
    """Return the error for a COMMIT that closes nothing, or closes twice."""
    if first:
        message = (
            "COMMIT without BEGIN: what stands above it could not be rolled back; remove it "
            "(a source runs in a transaction of its own), or split the file here, or "
        )
    else:
        message = "a second COMMIT: there is nothing left to commit; remove it, or "
    return _error(path, statement, message + OFF_HINT)


def _absorb(statements: Sequence[Statement], envelope: _Envelope, path: str) -> Execution:
    """Take the envelope off; refuse what stands outside it or cannot run inside."""
    inside = range(envelope.begin.offset, envelope.commit.offset)
    kept = []
    for statement in statements:
        if statement is envelope.begin or statement is envelope.commit:
            continue
        name = forbidden_in_transaction(statement)
        if statement.offset not in inside and not is_session_setting(statement):
            message = (
                "this stands outside BEGIN … COMMIT and would not be rolled back with it; "
                f"move it inside, or into a source of its own, or {OFF_HINT}"
            )
            raise _error(path, statement, message)
        if name is not None:
            message = (
                f"{name} cannot run between BEGIN and COMMIT; put it in a source of its own"
            )
            raise _error(path, statement, message)
        kept.append(statement)
    return Execution(Mode.TRANSACTION, tuple(kept), _modes(envelope.begin, path))


def _modes(begin: Statement, path: str) -> str | None:
    """Return the transaction modes behind BEGIN, in capitals and on one line."""
    text = BEGIN_HEAD.sub("", without_comments(begin).rstrip(" \t\n\r\f\v;"), count=1)
    modes = " ".join(text.upper().split()).replace(" ,", ",").replace(",", ", ")
    modes = " ".join(modes.split())
    if not modes:
        return None
    if not MODES.match(modes):
        raise _error(path, begin, f"PostgreSQL knows no transaction mode {modes}; remove it")
    if "READ ONLY" in modes:
        message = (
            f"a READ ONLY transaction could not record the revision; remove it, or {OFF_HINT}"
        )
        raise _error(path, begin, message)
    return modes


def _runs_alone(statements: Sequence[Statement], directives: Directives, path: str) -> bool:
    """Tell whether a source without an envelope must run statement by statement."""
    named = [(s, name) for s in statements if (name := forbidden_in_transaction(s))]
    if not named:
        return False
    statement, name = named[0]
    if directives.transaction is Transaction.ON:
        message = (
            f"{name} cannot run in a transaction, and the header says transaction = on; "
            "remove that line"
        )
        raise _error(path, statement, message)
    forbidden = {id(s) for s, _ in named}
    if any(id(s) not in forbidden and not is_session_setting(s) for s in statements):
        message = (
            f"{name} cannot run in a transaction, and other statements here should; "
            f"split the file into two sources, or {OFF_HINT}"
        )
        raise _error(path, statement, message)
    return True


def _error(path: str, statement: Statement, message: str) -> SourceError:
    """Return the error to raise for a statement."""
    return SourceError(path, message, line=statement.line, column=statement.column)
