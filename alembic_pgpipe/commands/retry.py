"""``alembic pgpipe retry``: mark failed or skipped revisions to be run again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from alembic.config import Config

from alembic_pgpipe.commands.decide import Change, decide
from alembic_pgpipe.environment.visit import Visit
from alembic_pgpipe.ledger.states import refuse_retry
from alembic_pgpipe.model import Revision, Status
from alembic_pgpipe.project import OpenLedger, open_ledger, visit_project
from alembic_pgpipe.routines.working import names_in_snapshot
from alembic_pgpipe.run.plan import SAYS_RETRY, Facts
from alembic_pgpipe.run.step import Sources

COMMAND = "alembic pgpipe retry {}"
# Of the statuses that need no retry, those in which a --skip in the source counts.
PASSED_OVER = (Status.WAITING, Status.ROLLED_BACK)
TAKE_SKIP_OUT = "its source says --skip; take that out, and 'alembic upgrade head' applies it"


def retry(
    config: Config,
    names: Sequence[str] = (),
    *,
    marked: bool = False,
    reason: str | None = None,
) -> tuple[Change, ...]:
    """Mark revisions RETRY; the next ``alembic upgrade head`` runs them.

    ``names`` are revision ids, unique prefixes or names of sources.  Without names it
    is every failed revision, except those whose source says ``--skip``; with
    ``marked`` only those whose source says ``--retry``.  Raises RevisionError for an
    unknown name and TransitionError for a revision that neither failed nor was skipped, and
    for a skipped version of a routine file of which a newer one is applied.
    """

    def look(visit: Visit) -> tuple[Change, ...]:
        named = [visit.revisions.resolve(name, COMMAND) for name in names]
        with open_ledger(visit) as ledger:
            wanted = named or _failed(ledger, _says_retry if marked else _says_no_skip)
            why = "; ".join(filter(None, (SAYS_RETRY, reason))) if marked else reason
            refuse = partial(_refuse, ledger)
            return decide(ledger, wanted, Status.RETRY, why, refuse)

    return visit_project(config, look)


def _refuse(ledger: OpenLedger, revision: Revision, status: Status) -> str | None:
    why = refuse_retry(revision, status)
    if status in PASSED_OVER and Sources(ledger.visit.settings).facts(revision).skip:
        return f"{revision.id} ({revision.name}) is {status.value}: {TAKE_SKIP_OUT}"
    if why is None and status is Status.SKIPPED and (later := _newer(ledger, revision)):
        return (
            f"{revision.id} ({revision.name}) would be put over {later.name}, a newer version "
            "of it that is applied. If it is this text that is wanted, write it into the file "
            "among the routines, then: alembic pgpipe wrap"
        )
    return why


def _newer(ledger: OpenLedger, revision: Revision) -> Revision | None:
    """Return the last applied revision that ships a routine file of this one once more."""
    settings, everything = ledger.visit.settings, ledger.visit.revisions.all()
    names = names_in_snapshot(settings, revision.source or "")
    if not names:
        return None
    later = everything[everything.index(revision) + 1 :]
    newer = [one for one in later if names & names_in_snapshot(settings, one.source or "")]
    history = ledger.history(newer)
    applied = (r for r in reversed(newer) if ledger.status(r.id, history) is Status.SUCCESS)
    return next(applied, None)


def _failed(ledger: OpenLedger, chosen: Callable[[Facts], bool]) -> list[Revision]:
    history = ledger.history()
    sources = Sources(ledger.visit.settings)
    revisions = ledger.visit.revisions.all()
    failed = [r for r in revisions if history.status(r.id) is Status.ERROR]
    return [revision for revision in failed if chosen(sources.facts(revision))]


def _says_retry(facts: Facts) -> bool:
    return facts.retry


def _says_no_skip(facts: Facts) -> bool:
    return not facts.skip
