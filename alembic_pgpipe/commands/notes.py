"""What ``check`` notes: what the next run settles or meets, and what it will not try."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from alembic_pgpipe.commands.look import Look
from alembic_pgpipe.commands.status import held, upcoming_action
from alembic_pgpipe.connect.url import scratch_folder
from alembic_pgpipe.model import Revision, Status
from alembic_pgpipe.revisions.unwrapped import out_of_reach
from alembic_pgpipe.run.outlook import hindrances, unknown_names
from alembic_pgpipe.run.plan import Action
from alembic_pgpipe.run.step import EMPTY
from alembic_pgpipe.showable import counted

SKIPPED_HERE = (
    "{} SKIPPED in this database: {}. The scratch server has what these make, if they run "
    "there; what is pending and needs it would fail here"
)
# Of what a note lists it shows so many.
MOST_NAMES = 3


def notes(look: Look) -> Iterator[str]:
    """Yield what the next run settles by itself, what may hold it, and what is no directive."""
    if said := out_of_reach(look.settings):
        yield said
    if look.pending:
        schema, missing = look.settings.schema, look.ledger.missing
        yield from hindrances(look.ledger.connection, schema, missing)
    yield from _unknown_names(look)
    yield from look.agreed.notes
    yield from _held(look)
    yield from _empty(look)
    yield from _asked_for(look)
    for revision in look.pending:
        yield from look.sources.doubts(revision)


def lacking(look: Look) -> str | None:
    """Return what a scratch server may have, and the database has not; None for nothing."""
    skipped = tuple(_skipped(look))
    if not skipped:
        return None
    names = ", ".join(f"{one.id} ({one.name})" for one in skipped[:MOST_NAMES])
    more = ", …" if len(skipped) > MOST_NAMES else ""
    return SKIPPED_HERE.format(counted(len(skipped), "revision"), f"{names}{more}")


def _skipped(look: Look) -> Iterator[Revision]:
    """Yield those that were skipped here, and that nothing keeps from running elsewhere."""
    for revision in look.evidence.revisions:
        skipped = look.history.status(revision.id) is Status.SKIPPED
        if skipped and not look.sources.facts(revision).skip:
            yield revision


def _unknown_names(look: Look) -> Iterable[str]:
    """Return which databases and roles the sources that will run name in vain."""
    if scratch_folder(look.settings.url, look.settings.project) is not None:
        # It has only what the project makes.
        return ()
    sources = look.sources
    runnable = (r.source for r in look.pending if r.source and sources.refusal(r) is None)
    loaded = [sources.load(file) for file in runnable]
    return unknown_names(look.ledger.connection, [s for s in loaded if not s.directives.skip])


def _held(look: Look) -> Iterator[str]:
    """Note what failed and nobody has decided on; not what may be applied all the same."""
    doubtful = {finding.subject for finding in look.agreed.findings}
    for revision, out in held(look.evidence, look.sources):
        if revision.id not in doubtful:
            yield f"{revision.id} ({revision.name}) failed and holds the next run: {out}"


def _empty(look: Look) -> Iterator[str]:
    """Note what would be applied as it is, and nobody may write anything into it then."""
    for revision in look.pending:
        if look.sources.is_empty(revision):
            file = look.sources.file(revision)
            yield f"{file} {EMPTY} yet; once it is applied, none can be added to it"


def _asked_for(look: Look) -> Iterator[str]:
    """Note what will run because somebody wants it, and is not rehearsed: it says --skip."""
    for revision in look.pending:
        runs = upcoming_action(revision, look.history, look.sources) is Action.RUN
        if runs and look.sources.facts(revision).skip:
            yield (
                f"{revision.id} ({revision.name}) is to run, for somebody asked to retry it, "
                "and is not rehearsed: its source says --skip. Take that out to have it tried"
            )
