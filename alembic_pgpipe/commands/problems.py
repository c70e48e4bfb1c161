"""What ``check`` calls a problem by reading alone: what would stop an upgrade, or be lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from alembic_pgpipe.commands.look import Look
from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.ledger.agreement import Evidence, said_applied
from alembic_pgpipe.ledger.finding import REPAIR, Finding
from alembic_pgpipe.ledger.other_tools import applied_by_another_tool
from alembic_pgpipe.ledger.tables import ATTEMPTS
from alembic_pgpipe.model import Direction, Problem, Revision
from alembic_pgpipe.revisions.broken import lost_wrapper, two_heads
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.revisions.unwrapped import unwrapped_sources
from alembic_pgpipe.run.edited import counted_text, difference, edited_text
from alembic_pgpipe.run.failure import problem_of
from alembic_pgpipe.run.ground import Ground
from alembic_pgpipe.run.plan import Action, Decision
from alembic_pgpipe.run.renamed import gone_texts, renamed
from alembic_pgpipe.run.step import Sources
from alembic_pgpipe.settings import Settings

PUT_BACK = "Put its text back, and ship the change as a new source."
WORDS_ONLY = "Where only a comment changed, let it count as what was applied:"


def stopping(look: Look) -> Iterator[Problem]:
    """Yield what is wrong so that an upgrade would run nothing."""
    yield from _applied_by_another_tool(look)
    yield from _heads(look.revisions)
    for finding in look.agreed.findings:
        yield Problem(finding.path, _said(finding, look.evidence, look.settings))
    gone = _gone_texts(look)
    for revision in look.pending:
        yield from _refusal(revision, look.sources, gone)
    yield from map(problem_of, _lost_ground(look))


def besides(look: Look) -> Iterator[Problem]:
    """Yield what is wrong besides: unwrapped, shared, edited, without an undo that can run."""
    yield from _unwrapped(look.revisions, look.settings)
    yield from _shared(look.evidence.revisions)
    for revision in look.evidence.revisions:
        yield from _edited(revision, look)
    for revision in look.runs:
        if error := look.sources.undo_refusal(revision):
            yield problem_of(error)


def _applied_by_another_tool(look: Look) -> Iterator[Problem]:
    if look.ledger.heads:
        return
    versions, everything = look.ledger.visit.given.versions, look.revisions.all()
    found = applied_by_another_tool(look.ledger.connection, versions, everything, look.history)
    if found is not None:
        yield Problem(look.settings.shown(look.revisions.versions), str(found))


def _heads(revisions: ProjectRevisions) -> Iterator[Problem]:
    heads = revisions.heads()
    if len(heads) > 1:
        said = str(two_heads(heads, "alembic upgrade head runs nothing"))
        yield Problem(revisions.settings.shown(revisions.versions), said)


def _unwrapped(revisions: ProjectRevisions, settings: Settings) -> Iterator[Problem]:
    try:
        unwrapped = unwrapped_sources(revisions, settings)
    except SourceError as error:
        yield problem_of(error)
        return
    for source in unwrapped:
        path = settings.shown(settings.sources / source.file)
        yield Problem(path, "has no wrapper and would not run: alembic pgpipe wrap")


def _shared(revisions: Iterable[Revision]) -> Iterator[Problem]:
    first: dict[str, Revision] = {}
    for revision in revisions:
        if revision.source is None:
            continue
        other = first.setdefault(revision.source, revision)
        if other is not revision:
            yield Problem(
                revision.path,
                f"runs {revision.source}, as {other.path} does: it would be applied twice. "
                "Remove one of the two, or copy the source.",
            )


def _said(found: Finding, evidence: Evidence, settings: Settings) -> str:
    is_unknown = found.subject in evidence.unknown
    lost = lost_wrapper(found.subject, settings) if is_unknown else None
    return str(found) if lost is None else f"{found.facts}. {lost}"


def _lost_ground(look: Look) -> Iterator[SourceError]:
    """Yield why what is done in part may not go on as it is."""
    if ATTEMPTS in look.ledger.missing:
        return
    ground = Ground(look.revisions, look.ledger.recorder.reading, look.sources)
    elsewhere = ground.begun_elsewhere(look.runs)
    for revision in look.runs:
        if look.sources.refusal(revision) is None:
            try:
                step = look.sources.step(revision, Direction.UPGRADE, Decision(Action.RUN))
                ground.refuse_lost(step, look.history, elsewhere)
            except SourceError as error:
                yield error


def _gone_texts(look: Look) -> Mapping[str, Revision]:
    applied = said_applied(look.history) & look.evidence.passed
    known = (one for one in look.evidence.revisions if one.id in applied)
    texts = ((one, counted_text(one.id, look.history)) for one in known)
    return gone_texts(texts, look.sources)


def _refusal(
    revision: Revision, sources: Sources, gone: Mapping[str, Revision]
) -> Iterator[Problem]:
    refusal = sources.refusal(revision) or renamed(revision, gone, sources)
    if refusal is not None:
        yield problem_of(refusal)


def _edited(revision: Revision, look: Look) -> Iterator[Problem]:
    differs = difference(revision, look.history, look.sources)
    if differs is None:
        return
    said = f"{differs}. {PUT_BACK}"
    if edited_text(revision, look.history, look.sources) is not None:
        said += f" {WORDS_ONLY} {REPAIR} --applied {revision.id}"
    yield Problem(look.sources.file(revision), said)
