"""``alembic pgpipe check``: all that can be known to be wrong before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from alembic.config import Config

from alembic_pgpipe.commands.status import edited_since
from alembic_pgpipe.environment import Visit
from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.model import Direction, Problem, Revision, Status
from alembic_pgpipe.project import OpenLedger, open_ledger, visit_project
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.revisions.unwrapped import unwrapped_sources
from alembic_pgpipe.run.plan import Action, Decision
from alembic_pgpipe.run.step import Sources
from alembic_pgpipe.settings import Settings


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found, and how many pending sources were looked at."""

    problems: tuple[Problem, ...]
    pending: int


def check(config: Config) -> CheckReport:
    """Validate all pending sources, and name applied ones that were edited since.

    The database is only read.
    """

    def look(visit: Visit) -> CheckReport:
        with open_ledger(visit) as ledger:
            return _check(ledger)

    return visit_project(config, look)


def _check(ledger: OpenLedger) -> CheckReport:
    visit, history = ledger.visit, ledger.history()
    revisions, settings = visit.revisions, visit.settings
    sources = Sources(settings)
    everything = revisions.all()
    passed = revisions.applied(ledger.heads)
    pending = [r for r in everything if _is_pending(r, history, r.id in passed)]
    problems = (
        *_heads(revisions),
        *_unwrapped(revisions, settings),
        *(p for r in pending for p in _refusal(r, sources)),
        *(p for r in everything for p in _edited(r, history, sources)),
    )
    return CheckReport(problems, len(pending))


def _is_pending(revision: Revision, history: History, passed: bool) -> bool:
    status = history.status(revision.id)
    if passed:
        return status in (Status.RETRY, Status.ERROR)
    return status not in (Status.SKIPPED, Status.SUCCESS)


def _heads(revisions: ProjectRevisions) -> Iterator[Problem]:
    heads = revisions.heads()
    if len(heads) > 1:
        yield Problem(
            revisions.settings.shown(revisions.versions),
            f"the history has {len(heads)} heads ({', '.join(sorted(heads))}). "
            "Join them: alembic pgpipe wrap --merge",
        )


def _unwrapped(revisions: ProjectRevisions, settings: Settings) -> Iterator[Problem]:
    for source in unwrapped_sources(revisions, settings):
        path = settings.shown(settings.sources / source.file)
        yield Problem(path, "has no wrapper and would not run: alembic pgpipe wrap")


def _refusal(revision: Revision, sources: Sources) -> Iterator[Problem]:
    try:
        sources.step(revision, Direction.UPGRADE, Decision(Action.RUN))
    except SourceError as error:
        yield Problem(error.path, error.problem, error.line, error.column)


def _edited(revision: Revision, history: History, sources: Sources) -> Iterator[Problem]:
    status = history.status(revision.id)
    edited = edited_since(revision, history, status, sources)
    if edited and revision.source:
        settings = sources.settings
        path = settings.shown(settings.sources / revision.source)
        yield Problem(
            path,
            f"{edited}. Put its text back, and ship the change as a new source.",
        )
