"""May a source run, and inside one transaction, decided before anything runs.

:class:`Rules` looks at one statement after the other and keeps none of them, so that a
source may be larger than memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.copying import refused_copy
from alembic_pgpipe.source.directives import Directives, Transaction
from alembic_pgpipe.source.forbidden import forbidden_in_transaction
from alembic_pgpipe.source.reader import Statement, without_comments

T = TypeVar("T")

OFF_HINT = "write `-- pgpipe: transaction = off` at the top"
CONTROL = frozenset({"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "PREPARE"})
SETTINGS = frozenset({"SET", "RESET"})
MAY_BE_FORBIDDEN = frozenset(
    {"CREATE", "DROP", "ALTER", "VACUUM", "CLUSTER", "REINDEX", "DISCARD"}
)
# A statement that starts with any other word is an ordinary one.
TELLING = CONTROL | SETTINGS | MAY_BE_FORBIDDEN | {"COPY"}
NOT_SETTINGS = frozenset({"LOCAL", "TRANSACTION", "CONSTRAINTS"})
SCOPES = frozenset({"LOCAL", "SESSION"})
NOISE = frozenset({"WORK", "TRANSACTION"})
BEGIN_HEAD = re.compile(
    r"(?:START\s+TRANSACTION|BEGIN(?:\s+(?:WORK|TRANSACTION))?)\b", re.I | re.A
)
_MODE = (
    r"(?:ISOLATION LEVEL (?:SERIALIZABLE|REPEATABLE READ|READ COMMITTED|READ UNCOMMITTED)"
    r"|READ WRITE|READ ONLY|(?:NOT )?DEFERRABLE)"
)
MODES = re.compile(rf"{_MODE}(?:,? {_MODE})*\Z")
LEVEL = re.compile(
    r"\b(?:SERIALIZABLE|REPEATABLE\s+READ|READ\s+(?:UN)?COMMITTED)\b", re.I | re.A
)
READ_ONLY = re.compile(r"\bREAD\s+ONLY\b", re.I | re.A)


class Mode(Enum):
    """How a source is run."""

    TRANSACTION = "transaction"
    AUTOCOMMIT = "autocommit"


@dataclass(frozen=True, slots=True)
class Execution:
    """How to send a source.

    ``envelope`` holds the numbers, from 1, of the BEGIN and COMMIT that the step's
    transaction absorbs, and ``begin`` the modes that stood behind that BEGIN, or ahead of
    it as a default, for SET TRANSACTION.  ``total`` counts the statements that are sent, so
    without those two.
    """

    mode: Mode
    begin: str | None = None
    envelope: tuple[int, int] | None = None
    total: int = 0

    def sent(self, statements: Iterable[T]) -> Iterator[T]:
        """Yield what is sent of all the statements of the source, in order."""
        absorbed = self.envelope or ()
        return (s for number, s in enumerate(statements, 1) if number not in absorbed)


@dataclass(frozen=True, slots=True)
class _Noted:
    """What is kept of a statement: where it stands, and what a message says of it."""

    path: str
    line: int
    column: int
    number: int
    name: str = ""


class Rules:
    """Decide how a source may be run, from its statements in order.

    Hand each statement to :meth:`see`, then ask for the :meth:`verdict`.  Both raise
    :class:`SourceError` for a source that may not run, as early as that is known.
    """

    def __init__(self, directives: Directives, require_transaction: bool) -> None:
        self._asked = directives.transaction
        self._required = require_transaction
        self._seen = 0
        # True while one more ordinary statement would change nothing: nearly always.
        self._settled = directives.transaction is Transaction.OFF
        self._first: _Noted | None = None
        self._ordinary: _Noted | None = None
        self._forbidden: _Noted | None = None
        self._begin: _Noted | None = None
        self._commit: _Noted | None = None
        self._modes: str | None = None
        self._level: str | None = None

    def see(self, statement: Statement) -> None:
        """Take note of the next statement."""
        self._seen += 1
        words = statement.words
        if not self._settled or (words and words[0] in TELLING):
            self._look(statement)

    def verdict(self) -> Execution:
        """Return how the source is run, when all its statements have been seen."""
        if self._asked is Transaction.OFF:
            return Execution(Mode.AUTOCOMMIT, total=self._seen)
        if self._begin is not None:
            if self._commit is None:
                message = "this BEGIN is never committed; add COMMIT; as the last statement"
                raise SourceError.at(self._begin, message)
            envelope = self._begin.number, self._commit.number
            return Execution(Mode.TRANSACTION, self._begun(), envelope, self._seen - 2)
        if self._forbidden is not None:
            return Execution(Mode.AUTOCOMMIT, total=self._seen)
        if self._required and self._first is not None:
            message = (
                "pgpipe.require_transaction is set, and this source has no BEGIN and COMMIT "
                "around it; put BEGIN; before this and COMMIT; at the end"
            )
            raise SourceError.at(self._first, message)
        return Execution(Mode.TRANSACTION, self._begun(), total=self._seen)

    def _begun(self) -> str | None:
        """Return the transaction's modes: BEGIN's, and a level that was set ahead of it."""
        if self._level is None or "ISOLATION" in (self._modes or ""):
            return self._modes
        return ", ".join(filter(None, (f"ISOLATION LEVEL {self._level}", self._modes)))

    def _look(self, statement: Statement) -> None:
        """Tell the kinds of statements apart."""
        if problem := refused_copy(statement):
            raise SourceError.at(statement, problem)
        if self._asked is Transaction.OFF:
            return
        first = statement.words[0] if statement.words else ""
        self._first = self._first or self._noted(statement)
        if first in CONTROL:
            self._meet_control(statement)
        elif first in SETTINGS:
            self._meet_setting(statement)
        elif first in MAY_BE_FORBIDDEN and (name := forbidden_in_transaction(statement)):
            self._meet_forbidden(self._noted(statement, name))
        elif not self._settled:
            self._meet_ordinary(self._noted(statement))

    def _noted(self, statement: Statement, name: str = "") -> _Noted:
        """Return what is kept of the statement that is being looked at."""
        return _Noted(statement.path, statement.line, statement.column, self._seen, name)

    def _meet_control(self, statement: Statement) -> None:
        """Take note of transaction control."""
        noted = self._noted(statement)
        if problem := _refused_control(statement):
            raise SourceError.at(noted, problem)
        control = _control(statement)
        if control == "BEGIN":
            self._open(statement, noted)
        elif control == "COMMIT":
            self._close(noted)
        elif not self._settled:
            self._meet_ordinary(noted)

    def _meet_setting(self, statement: Statement) -> None:
        """Take note of SET and RESET; those of a session may stand anywhere."""
        if _is_read_only(statement):
            raise SourceError.at(statement, _read_only())
        if self._begin is None and self._ordinary is None and _sets_level(statement):
            found = LEVEL.search(statement.text)
            self._level = " ".join(found[0].upper().split()) if found else None
        if not self._settled and not is_session_setting(statement):
            self._meet_ordinary(self._noted(statement))

    def _open(self, statement: Statement, noted: _Noted) -> None:
        """Take note of the BEGIN of the envelope."""
        if self._begin is not None:
            raise SourceError.at(noted, _second_begin(inside=self._commit is None))
        if outside := self._forbidden or self._ordinary:
            raise SourceError.at(outside, _outside(outside))
        self._modes = _modes(statement)
        if problem := _refused_modes(self._modes):
            raise SourceError.at(noted, problem)
        self._begin = noted
        self._settled = False

    def _close(self, noted: _Noted) -> None:
        """Take note of the COMMIT of the envelope."""
        if self._begin is None or self._commit is not None:
            raise SourceError.at(noted, _stray_commit(first=self._begin is None))
        self._commit = noted
        self._settled = False

    def _meet_forbidden(self, noted: _Noted) -> None:
        """Take note of a statement that cannot run in a transaction."""
        if self._commit is not None:
            raise SourceError.at(noted, _outside(noted))
        if self._begin is not None:
            message = f"{noted.name} cannot run between BEGIN and COMMIT; put it in a source "
            raise SourceError.at(noted, message + "of its own")
        if self._asked is Transaction.ON:
            message = (
                f"{noted.name} cannot run in a transaction, and the header says "
                "transaction = on; remove that line"
            )
            raise SourceError.at(noted, message)
        self._forbidden = self._forbidden or noted
        self._refuse_mixture()
        self._settled = False

    def _meet_ordinary(self, noted: _Noted) -> None:
        """Take note of a statement that should be in a transaction."""
        if self._commit is not None:
            raise SourceError.at(noted, _outside(noted))
        if self._begin is None:
            self._ordinary = self._ordinary or noted
            self._refuse_mixture()
        self._settled = True

    def _refuse_mixture(self) -> None:
        """Refuse a source of which a part must, and a part must not be in a transaction."""
        if self._forbidden is not None and self._ordinary is not None:
            message = (
                f"{self._forbidden.name} cannot run in a transaction, and other statements "
                f"here should; split the file into two sources, or {OFF_HINT}"
            )
            raise SourceError.at(self._forbidden, message)


def is_session_setting(statement: Statement) -> bool:
    """Tell whether a statement is SET or RESET for the session, not for a transaction."""
    words = statement.words
    if words[:1] == ("RESET",):
        return True
    if words[:1] != ("SET",) or words[1:3] == ("SESSION", "TRANSACTION"):
        return False
    return len(words) > 1 and words[1] not in NOT_SETTINGS


def _sets_level(statement: Statement) -> bool:
    """Tell whether a statement sets the isolation level of the transactions behind it."""
    names = [word.upper() for word in statement.words[1:] if word not in SCOPES]
    if names[:1] == ["CHARACTERISTICS"]:
        return "ISOLATION" in names
    return statement.words[:1] == ("SET",) and names[:1] == ["DEFAULT_TRANSACTION_ISOLATION"]


def _control(statement: Statement) -> str:
    """Return BEGIN or COMMIT for the statements that open and close an envelope."""
    first = statement.words[0] if statement.words else ""
    if first == "BEGIN" or statement.words[:2] == ("START", "TRANSACTION"):
        return "BEGIN"
    return "COMMIT" if first in ("COMMIT", "END") else ""


def _refused_control(statement: Statement) -> str | None:
    """Return what is wrong with transaction control that nothing can absorb."""
    words = tuple(word for word in statement.words if word not in NOISE)
    first = words[0] if words else ""
    # PREPARE transaction AS … is a prepared statement of that name.
    if first == "PREPARE" and statement.words[1:] == ("TRANSACTION",):
        problem = "PREPARE TRANSACTION leaves the outcome open; write COMMIT instead, or "
    elif first in ("COMMIT", "ROLLBACK") and words[1:2] == ("PREPARED",):
        problem = f"{first} PREPARED ends a transaction of somebody else's; run it by hand, or "
    elif first == "ABORT" or (first == "ROLLBACK" and words[1:2] != ("TO",)):
        problem = (
            f"{first} would undo this revision; remove it, or use ROLLBACK TO a savepoint, or "
        )
    elif first in ("COMMIT", "END") and words[1:3] == ("AND", "CHAIN"):
        problem = "AND CHAIN opens a second transaction; split the file into two sources, or "
    else:
        return None
    return problem + OFF_HINT


def _is_read_only(statement: Statement) -> bool:
    """Tell whether a statement is SET TRANSACTION READ ONLY."""
    words = statement.words[1:3]
    if words[:1] != ("TRANSACTION",) and not (
        words[1:] == ("TRANSACTION",) and words[0] in SCOPES
    ):
        return False
    return READ_ONLY.search(without_comments(statement)) is not None


def _read_only() -> str:
    """Return why a source cannot have a read-only transaction."""
    return f"a READ ONLY transaction could not record the revision; remove it, or {OFF_HINT}"


def _second_begin(*, inside: bool) -> str:
    """Return what is wrong with a BEGIN behind the first one."""
    problem = "a second BEGIN: a source has one block at most; "
    if inside:
        problem += "remove it (or add the COMMIT that is missing above it), or "
    else:
        problem += "split the file into two sources, or "
    return problem + OFF_HINT


def _stray_commit(*, first: bool) -> str:
    """Return what is wrong with a COMMIT that closes nothing, or closes twice."""
    if first:
        problem = (
            "COMMIT without BEGIN: what stands above it could not be rolled back; remove it "
            "(a source runs in a transaction of its own), or split the file here, or "
        )
    else:
        problem = "a second COMMIT: there is nothing left to commit; remove it, or "
    return problem + OFF_HINT


def _outside(noted: _Noted) -> str:
    """Return what is wrong with a statement before BEGIN or behind COMMIT."""
    if noted.name:
        return (
            f"{noted.name} stands outside BEGIN … COMMIT, and cannot run inside either; put it "
            f"in a source of its own, or {OFF_HINT}"
        )
    return (
        "this stands outside BEGIN … COMMIT and would not be rolled back with it; "
        f"move it inside, or into a source of its own, or {OFF_HINT}"
    )


def _modes(begin: Statement) -> str | None:
    """Return the transaction modes behind BEGIN, in capitals and on one line."""
    text = BEGIN_HEAD.sub("", without_comments(begin).rstrip(" \t\n\r\f\v;"), count=1)
    modes = " ".join(text.upper().split()).replace(" ,", ",").replace(",", ", ")
    return " ".join(modes.split()) or None


def _refused_modes(modes: str | None) -> str | None:
    """Return what is wrong with the modes of a BEGIN."""
    if modes is None:
        return None
    if not MODES.match(modes):
        return f"PostgreSQL knows no transaction mode {modes}; remove it"
    return _read_only() if "READ ONLY" in modes else None
