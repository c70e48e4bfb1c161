"""Make again, in a new session, what a source had left in one that has ended.

Settings and advisory locks can be had again; temporary objects are gone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from types import MappingProxyType

from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import DBAPIError

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.model import Remnant, RemnantKind
from alembic_pgpipe.outside.effects import (
    EVERYTHING,
    lost_with_session,
    set_by,
    set_first,
    set_locally,
)
from alembic_pgpipe.outside.in_session import IDENTITY
from alembic_pgpipe.source.reader import Statement

SET = text("SELECT pg_catalog.set_config(:name, :value, false)")
LOCKS = MappingProxyType(
    {"ExclusiveLock": "pg_try_advisory_lock", "ShareLock": "pg_try_advisory_lock_shared"}
)
# What may make something for its session only.
MAKERS = frozenset(
    {"CALL", "CREATE", "DECLARE", "DO", "EXECUTE", "PREPARE", "SELECT", "VALUES", "WITH"}
)
NOT_KEPT = "its value is one that the ledger does not keep"
HELD = "another session holds it; pg_locks has its pid"
# Of the two ways in which a lock's number is kept: one of 64 bits, or two of 32.
ONE_NUMBER = "1"


def set_again(
    connection: Connection, left: Sequence[Remnant], following: Sequence[Statement], path: str
) -> tuple[Remnant, ...]:
    """Set what a source had set, and take the advisory locks that it had taken.

    What the ``following`` statements begin with setting is theirs, and returned: until they
    have done it, it is to be kept.  Raises SourceError where something is not to be had again.
    """
    theirs = set_first(following)
    wanted = [one for one in left if one.kind is not RemnantKind.OBJECT]
    owed = tuple(one for one in wanted if one.name.lower() in theirs)
    others = sorted((one for one in wanted if one not in owed), key=_order)
    own = [one for one in others if one.name not in IDENTITY]
    refused = [one for one in own if _why_not(connection, one) is not None]
    # Who one is decides what one may set: some only before a role, some only with it.
    for remnant in (*others[len(own) :], *refused):
        if (why := _why_not(connection, remnant)) is not None:
            raise _not_again(remnant, following, path, why)
    return owed


def refuse_unset(
    unseen: Sequence[Statement],
    following: Sequence[Statement],
    changed: Collection[Remnant],
) -> None:
    """Raise SourceError where nobody can know what the next statements find set.

    ``changed`` are the settings as the ``unseen`` statements had them ahead of their commit,
    which some may have had for their transaction only.  What they set by a statement of its
    own is clear, and so is what comes next.
    """
    clear = (set_by(unseen) - set_locally(unseen)) | set_first(following)
    unclear = [one.name for one in changed if one.name.lower() not in clear]
    if unclear and following and EVERYTHING not in clear:
        names = ", ".join(sorted(unclear))
        raise SourceError.at(
            following[0],
            f"what broke off had set {names}, for its session or for its transaction, and both "
            f"have ended. Write a SET or RESET of {names} above this statement.",
        )


def _why_not(connection: Connection, remnant: Remnant) -> str | None:
    """Make something again; return why that is not possible, None where it is done."""
    if remnant.kind is RemnantKind.SECRET:
        return NOT_KEPT
    try:
        had = connection.scalar(*_making(remnant))
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return str(error.orig).splitlines()[0].removeprefix("ERROR:").strip()
    return HELD if remnant.kind is RemnantKind.LOCK and not had else None


def gone(
    left: Sequence[Remnant], finished: Sequence[Statement], following: Sequence[Statement]
) -> Iterator[Remnant]:
    """Yield the objects that have ended with their session.

    Raises SourceError where a statement that is still to run speaks of one, and none up to it
    makes that once more: by its own words, or as one that is ``finished`` may have made it.
    """
    makers = {one.text for one in finished if one.words[:1] and one.words[0] in MAKERS}
    for remnant in left:
        if remnant.kind is not RemnantKind.OBJECT:
            continue
        for statement in following:
            if statement.text in makers or lost_with_session(statement) == remnant:
                break
            if is_named_in(remnant.name, statement):
                raise _needed(statement, remnant)
        yield remnant


def is_named_in(name: str, statement: Statement) -> bool:
    """Return whether a statement speaks of something by its name."""
    spellings = "|".join(map(re.escape, {name, name.replace('"', '""')}))
    word = rf"(?<![\w$])(?:{spellings})(?![\w$])"
    return re.search(word, statement.text, re.IGNORECASE) is not None


def _order(remnant: Remnant) -> tuple[int, str]:
    """Return when to make something again: who one is comes last."""
    last = IDENTITY.index(remnant.name) + 1 if remnant.name in IDENTITY else 0
    return last, remnant.name


def _making(remnant: Remnant) -> tuple[TextClause, dict[str, str | None]]:
    if remnant.kind is not RemnantKind.LOCK:
        return SET, {"name": remnant.name, "value": remnant.value}
    return text(f"SELECT pg_catalog.{LOCKS[str(remnant.value)]}({_key(remnant.name)})"), {}


def _key(lock: str) -> str:
    """Return an advisory lock's number, or its two, as pg_locks has them: without signs."""
    kind, high, low, _ = lock.split()
    if kind == ONE_NUMBER:
        return str(_signed(int(high) << 32 | int(low), 64))
    return f"{_signed(int(high), 32)}, {_signed(int(low), 32)}"


def _signed(number: int, bits: int) -> int:
    return number - (1 << bits) if number >> (bits - 1) else number


def _not_again(
    remnant: Remnant, following: Sequence[Statement], path: str, why: str
) -> SourceError:
    what, way_out = remnant.name, f" Write a SET or RESET of {remnant.name} of its own here."
    if remnant.kind is RemnantKind.LOCK:
        what, way_out = f"advisory lock {_key(remnant.name)}", ""
    message = (
        f"it goes on in a new session, and what the one before had of {what} is not to be had "
        f"again: {why}.{way_out}"
    )
    return SourceError.at(following[0], message) if following else SourceError(path, message)


def _needed(user: Statement, remnant: Remnant) -> SourceError:
    return SourceError.at(
        user,
        f"this needs {remnant.value} {remnant.name}, which was made in a session that has "
        "ended. Write what makes it once more, above this statement.",
    )
