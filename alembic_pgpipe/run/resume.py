"""Go on with a non-transactional source where the try before it stopped.

Finished statements are known by their hashes.  For the one that was under way, the
server is asked whether it was done; where it cannot know, the run stops and says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import Attempt, Outcome
from alembic_pgpipe.source import Statement, statement_hash

NAME = r'(?:(?:"(?:[^"]|"")+"|[\w$]+)\s*\.\s*)?(?:"(?:[^"]|"")+"|[\w$]+)'
CREATE_INDEX = re.compile(
    rf"CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    rf"(?P<index>{NAME})\s+ON\s+(?:ONLY\s+)?(?P<table>{NAME})",
    re.IGNORECASE,
)
DROP_INDEX = re.compile(
    rf"DROP\s+INDEX\s+CONCURRENTLY\s+(?:IF\s+EXISTS\s+)?(?P<index>{NAME})", re.IGNORECASE
)
COMMENT = re.compile(r"--[^\r\n]*|/\*.*?\*/", re.DOTALL)
# Doing these twice does what doing them once does.
REPEATABLE = (
    "VACUUM", "ANALYZE", "ANALYSE", "REINDEX", "CLUSTER", "CHECKPOINT", "REFRESH", "SET",
    "RESET", "SHOW", "ALTER SYSTEM", "DISCARD", "CREATE OR REPLACE",
    "COMMENT", "GRANT", "REVOKE", "BEGIN", "START", "COMMIT", "END",
)  # fmt: skip
GUARDED = re.compile(r"\bIF\s+(?:NOT\s+)?EXISTS\b", re.IGNORECASE)


class IndexState(Enum):
    """What the server knows of an index."""

    ABSENT = "absent"
    INVALID = "invalid"
    VALID = "valid"


AskIndex = Callable[[str], IndexState]


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where to go on: how many statements are done, and what to clean up first."""

    done: int
    drop_index: str | None = None
    note: str = ""


def qualified_index(statement: Statement) -> str | None:
    """Return the index that CREATE INDEX CONCURRENTLY makes, in its table's schema."""
    match = CREATE_INDEX.match(_plain(statement))
    if match is None or match["index"].upper() == "ON":
        return None
    schema = _schema(match["table"])
    return f"{schema}.{match['index']}" if schema else match["index"]


def resume_at(
    statements: Sequence[Statement], last: Attempt | None, path: str, ask: AskIndex
) -> Resumption:
    """Decide where a non-transactional source goes on after its latest attempt.

    Raises SourceError where a finished statement was edited, and where nobody can
    know whether the interrupted one was done.
    """
    if last is None or last.outcome not in (
        Outcome.ERROR,
        Outcome.INTERRUPTED,
        Outcome.RUNNING,
    ):
        return Resumption(0)
    done = len(last.statement_hashes)
    _refuse_edited(statements, last, path)
    if done >= len(statements):
        return Resumption(done)
    statement = statements[done]
    index = qualified_index(statement)
    if index is not None:
        return _after_index(done, index, ask(index), interrupted=_interrupted(last))
    if not _interrupted(last) or _may_repeat(statement):
        return Resumption(done)
    dropped = DROP_INDEX.match(_plain(statement))
    if dropped is not None:
        gone = ask(dropped["index"]) is IndexState.ABSENT
        return Resumption(done + 1 if gone else done)
    raise SourceError(path, _unknown(done + 1), line=statement.line, column=statement.column)


def _after_index(done: int, index: str, state: IndexState, *, interrupted: bool) -> Resumption:
    if state is IndexState.INVALID:
        return Resumption(done, index, f"index {index} was left INVALID: dropped, built again")
    if state is IndexState.VALID and interrupted:
        return Resumption(done + 1, None, f"index {index} was finished: passed over")
    return Resumption(done)


def _interrupted(last: Attempt) -> bool:
    """Return whether the run died: an error ends a statement, a death leaves it open."""
    return last.outcome is not Outcome.ERROR


def _may_repeat(statement: Statement) -> bool:
    words = " ".join(statement.words)
    return bool(GUARDED.search(_plain(statement))) or words.startswith(REPEATABLE)


def _refuse_edited(statements: Sequence[Statement], last: Attempt, path: str) -> None:
    for number, finished in enumerate(last.statement_hashes, 1):
        if number > len(statements):
            raise SourceError(
                path,
                f"statement {number} was finished by build {last.build_number} and is gone "
                "from the file. Put it back; what comes after the finished ones may change.",
            )
        statement = statements[number - 1]
        if statement_hash(statement.text) != finished:
            raise SourceError(
                path,
                f"statement {number} was finished by build {last.build_number} and has been "
                "edited since. Put it back as it was; what follows may be changed.",
                line=statement.line,
                column=statement.column,
            )


def _unknown(number: int) -> str:
    return (
        f"the try before broke off while statement {number} was under way, and the server "
        "cannot tell whether it was done. Look at the database: if it was, remove the "
        "statement's effect or skip the revision; if it was not, or to be safe, write it so "
        "that it may run twice (IF NOT EXISTS, IF EXISTS). Nothing was run."
    )


def _plain(statement: Statement) -> str:
    return COMMENT.sub(" ", statement.text).lstrip()


def _schema(table: str) -> str | None:
    match = re.match(r'("(?:[^"]|"")+"|[\w$]+)\s*\.\s*', table)
    return match[1] if match else None
