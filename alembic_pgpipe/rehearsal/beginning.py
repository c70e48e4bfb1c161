"""Whether a kept database is what running the history so far would make of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from alembic_pgpipe.environment.visit import Visit
from alembic_pgpipe.errors import RevisionError
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.model import Direction, Outcome, Revision, Status
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.run.step import Sources
from alembic_pgpipe.watching.holdups import Seen, read_seen


@dataclass(frozen=True, slots=True)
class State:
    """How far a database is; ``usable`` where it can be brought to what is wanted.

    ``ahead`` are the project's revisions that are not applied there.
    """

    heads: frozenset[str] = frozenset()
    wanted: frozenset[str] = frozenset()
    ahead: frozenset[str] = frozenset()
    usable: bool = False


NOTHING = State()


def compared(
    visit: Visit,
    history: History,
    state: State,
    watched: frozenset[str],
    left_out: Collection[str],
) -> State:
    """Return the state of a database beside that of the history.

    It may have passed over those that are ``left_out``.
    """
    revisions = visit.revisions
    try:
        applied = revisions.applied(state.heads)
        wanted = revisions.applied(state.wanted)
    except RevisionError:
        return state
    is_beginning = _is_beginning(visit, history, applied, left_out)
    usable = bool(applied) and applied <= wanted and is_beginning
    seen = all(_is_seen(r, history) for r in revisions.all() if r.id in applied & watched)
    ahead = revisions.ids() - applied
    return replace(state, ahead=ahead, usable=usable and seen)


def _is_beginning(
    visit: Visit, history: History, applied: Collection[str], left_out: Collection[str]
) -> bool:
    """Tell whether a database is what running the history so far would make of it."""
    if any(row.status is not Status.WAITING for row in history.strangers):
        return False
    revisions, sources = visit.revisions, Sources(visit.settings)
    return _in_order(revisions, applied, history) and all(
        _is_as_applied(r, history, sources, left_out)
        if r.id in applied
        else _is_untouched(r, history)
        for r in revisions.all()
    )


def _is_seen(revision: Revision, history: History) -> bool:
    """Tell whether what a revision holds up was looked at when it was run, if it was."""
    skipped = history.status(revision.id) is Status.SKIPPED
    return skipped or seen_in(revision, history) is not None


def seen_in(revision: Revision, history: History) -> Seen | None:
    """Return what the run of a revision was seen to hold up; None where nobody looked."""
    last = history.last_try(revision.id, Direction.UPGRADE)
    if last is None or last.outcome is not Outcome.SUCCESS or last.message is None:
        return None
    return read_seen(last.message)


def _is_as_applied(
    revision: Revision, history: History, sources: Sources, left_out: Collection[str]
) -> bool:
    facts = sources.facts(revision)
    if history.status(revision.id) is Status.SKIPPED:
        return facts.skip or revision.id in left_out
    last = history.last_try(revision.id, Direction.UPGRADE)
    return (
        last is not None and last.outcome is Outcome.SUCCESS and last.checksum == facts.checksum
    )


def _is_untouched(revision: Revision, history: History) -> bool:
    """Tell whether nothing of a revision is in the database, not even half of it."""
    last = history.last_try(revision.id, Direction.UPGRADE)
    if history.status(revision.id) is Status.WAITING or last is None:
        return True
    half = last.statement_hashes or last.under_way or last.transaction_id
    return revision.source is not None and last.outcome is not Outcome.SUCCESS and not half


def _in_order(revisions: ProjectRevisions, applied: Iterable[str], history: History) -> bool:
    """Tell whether each revision was run behind those that it now builds on."""
    place = {
        id_: attempt.id
        for id_ in applied
        if (attempt := history.last_try(id_, Direction.UPGRADE)) is not None
        and id_ not in history.decisions
    }
    return all(
        place[parent] < at
        for id_, at in place.items()
        for parent in revisions.parents(id_)
        if parent in place
    )
