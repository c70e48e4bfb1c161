"""What a run would send to the project's database, and the steps that a copy of it lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from alembic_pgpipe.environment.visit import Visit
from alembic_pgpipe.errors import RehearsalError
from alembic_pgpipe.model import Direction, Revision, Status
from alembic_pgpipe.project import OpenLedger, open_ledger
from alembic_pgpipe.revisions.wrapper import does_nothing
from alembic_pgpipe.run.plan import Action, Decision
from alembic_pgpipe.run.step import Sources, Step

# Since when its server runs, and which database it is there: a clone shares all but that.
Identity = tuple[datetime, int]
IDENTITY = (
    "SELECT pg_catalog.pg_postmaster_start_time(), oid FROM pg_catalog.pg_database "
    "WHERE datname = pg_catalog.current_database()"
)
ANEW = (
    "Make it a copy of the project's database anew, or remove the option: then a scratch "
    "server is used."
)
# Who may do what is a matter of the user, where no role is set.
USER = "SELECT session_user"
OWN = (
    "pgpipe.rehearsal_url names the project's own database, where what is tried would lock "
    "people out. Let it name a copy, or remove the option: then a scratch server is used."
)


@dataclass(frozen=True, slots=True)
class Upcoming:
    """What an upgrade of the project's database would run: it is at the ``heads``.

    ``pending`` are the ids of the revisions, in the order of the run.  ``identity`` tells
    that database from all others, ``user`` is who is logged in there.  It has passed those
    that are ``retried``, which may need what comes behind them, and those that are
    ``left_out``, which it does not have.
    """

    heads: frozenset[str]
    pending: tuple[str, ...]
    identity: Identity | None = None
    user: str | None = None
    retried: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()


def identity(connection: Connection) -> Identity:
    """Return what tells a database from all others, its copies too."""
    since, oid = connection.exec_driver_sql(IDENTITY).one()
    return since, oid


def user(connection: Connection) -> str:
    """Return who is logged in."""
    return str(connection.exec_driver_sql(USER).scalar_one())


def identity_seen(visit: Visit) -> Identity:
    """Return the identity of the database that a command is at."""
    with open_ledger(visit) as ledger:
        return identity(ledger.connection)


def steps_ahead(
    ledger: OpenLedger, wanted: frozenset[str], upcoming: Upcoming | None
) -> tuple[Step, ...]:
    """Return the steps that lead a database to the revisions that are wanted.

    Where they are ``upcoming``, it is to be a copy of the project's own, if an older one: what
    that has since is run as well.  Raises RehearsalError where it is none, or no steps lead
    there.
    """
    revisions, heads = ledger.visit.revisions, frozenset(ledger.heads)
    if upcoming is not None and upcoming.identity == identity(ledger.connection):
        raise RehearsalError(OWN)
    behind = revisions.applied(upcoming.heads if upcoming else wanted)
    if upcoming is not None and heads <= behind and not _is_emptied(heads, upcoming):
        ids: Sequence[str] = (*_lacking(ledger, behind, upcoming), *upcoming.pending)
    elif heads == wanted:
        ids = ()
    elif upcoming is None and heads <= behind:
        ids = _unapplied(ledger, behind - revisions.applied(heads))
    else:
        raise _elsewhere(heads, wanted, upcoming)
    found = {revision.id: revision for revision in revisions.those(ids)}
    sources = Sources(ledger.visit.settings)
    return tuple(_step(found[id_], sources) for id_ in ids)


def _is_emptied(heads: frozenset[str], upcoming: Upcoming) -> bool:
    """Return whether a database has no rows to meet, where the project's own has been used."""
    return bool(upcoming.heads) and not heads


def _step(revision: Revision, sources: Sources) -> Step:
    path = sources.settings.project / revision.path
    idle = revision.source is None and does_nothing(path.read_text("utf-8"))
    action = Action.PASS if idle or sources.facts(revision).skip else Action.RUN
    return sources.step(revision, Direction.UPGRADE, Decision(action))


def _unapplied(ledger: OpenLedger, ids: Collection[str]) -> list[str]:
    """Return which revisions an upgrade would not pass over, in their order."""
    history = ledger.history()
    passed_over = (Status.SUCCESS, Status.SKIPPED)
    some = ledger.visit.revisions.those(ids)
    return [r.id for r in some if history.status(r.id) not in passed_over]


def _lacking(ledger: OpenLedger, applied: Collection[str], upcoming: Upcoming) -> Iterator[str]:
    """Yield which of the applied revisions a copy lacks, in their order.

    Those are later, or it has passed over them.
    """
    revisions, status = ledger.visit.revisions, ledger.history().status
    here = revisions.applied(ledger.heads)
    passed_over = (Status.SKIPPED, Status.RETRY, Status.ERROR)
    for one in revisions.those(set(applied) - upcoming.left_out - set(upcoming.pending)):
        known = status(one.id)
        if known in passed_over or (one.id not in here and known is not Status.SUCCESS):
            yield one.id


def _elsewhere(
    heads: frozenset[str], wanted: frozenset[str], upcoming: Upcoming | None
) -> RehearsalError:
    place = f"The database in pgpipe.rehearsal_url is at {named(heads)}, and "
    if upcoming is None:
        return RehearsalError(
            f"{place}the rehearsal needs it at {named(wanted)}, or on the way there. "
            "Bring it there, or remove the option: then a scratch server is used."
        )
    return RehearsalError(f"{place}the project's database at {named(upcoming.heads)}. {ANEW}")


def named(heads: Iterable[str]) -> str:
    """Return where a database is, for a message."""
    return ", ".join(sorted(heads)) or "the base"
