"""Where a non-transactional source goes on after the attempt before.

Finished statements are known by their hashes, and have to be there unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import Attempt, Outcome
from alembic_pgpipe.showable import counted
from alembic_pgpipe.source.checksum import statement_hash
from alembic_pgpipe.source.reader import Statement

BROKEN_OFF = frozenset({Outcome.ERROR, Outcome.INTERRUPTED, Outcome.RUNNING})
# Of a finished statement's text the ledger keeps so many characters.
KEPT_CHARACTERS = 2000
SHOWN_LINES = 12
# In what the ledger knows a statement by, it stands ahead of the database.
ELSEWHERE = "@"


def unfinished(last: Attempt | None) -> Attempt | None:
    """Return the attempt before where it broke off, so that the next one goes on after it."""
    return last if last is not None and last.outcome in BROKEN_OFF else None


def refuse_transaction(path: str, last: Attempt | None) -> None:
    """Refuse to run from its start what has been done in part outside a transaction."""
    before = unfinished(last)
    if before is None or not before.begun:
        return
    raise SourceError(
        path,
        f"build {before.build_number} ran it statement by statement, and finished "
        f"{counted(len(before.statement_hashes), 'statement')} of it; now "
        "it would run in one transaction, from its start. Write `-- pgpipe: transaction = off` "
        "at the top, so that it goes on after them.",
    )


def hashed(statements: Sequence[Statement], database: str | None) -> str:
    """Return what the ledger knows statements by, and where they ran.

    ``database`` is the one that their source names, where that is not the run's own.
    """
    known = statement_hash("\n".join(statement.content for statement in statements))
    return known if database is None else f"{known}{ELSEWHERE}{database}"


def refuse_moved(before: Attempt, path: str, database: str | None) -> None:
    """Raise SourceError where what is done in part would go on in another database."""
    for known in before.begun:
        place = known.partition(ELSEWHERE)[2]
        if place != (database or ""):
            ran = f"in database {place}" if place else "in the run's own database"
            raise SourceError(
                path,
                f"build {before.build_number} ran a part of it {ran}, and now it names another "
                "one, where the rest cannot go on alone. Put its directive database back as it "
                "was, or skip this revision and write a new one.",
            )


def refuse_edited(
    statements: Sequence[Statement], before: Attempt, path: str, database: str | None
) -> None:
    """Raise SourceError where a finished statement is gone, or is not what it was."""
    for number, finished in enumerate(before.statement_hashes, 1):
        texts = before.statement_texts[number - 1 : number]
        if number > len(statements):
            raise SourceError(path, _gone(number, before, *texts))
        statement = statements[number - 1]
        if hashed([statement], database) != finished:
            raise edited(statement, number, before, *texts)


def edited(statement: Statement, number: int, before: Attempt, was: str = "") -> SourceError:
    """Return the error for a finished statement that is not what it was."""
    rows = ", or its rows have been" if statement.data is not None else ""
    return SourceError.at(
        statement,
        f"statement {number} was finished by build {before.build_number} and has been edited "
        f"since{rows}. It was:\n{_shown(was)}\nand is now:\n{_shown(statement.text)}\n"
        "Put it back as it was; what follows may be changed.",
    )


def excerpts(statements: Sequence[Statement]) -> list[str]:
    """Return the texts of statements as the ledger keeps them."""
    return [statement.text[:KEPT_CHARACTERS] for statement in statements]


def _gone(number: int, before: Attempt, was: str = "") -> str:
    return (
        f"statement {number} was finished by build {before.build_number} and is gone from the "
        f"file. It was:\n{_shown(was)}\nPut it back; what comes after the finished ones may "
        "change."
    )


def _shown(text: str) -> str:
    lines = text.rstrip().splitlines() or ["(not kept)"]
    more = ["…"] if len(lines) > SHOWN_LINES else []
    return "\n".join(f"    {line}" for line in lines[:SHOWN_LINES] + more)
