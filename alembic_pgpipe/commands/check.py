"""``alembic pgpipe check``: all that can be known to be wrong before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from alembic.config import Config

from alembic_pgpipe.commands.status import held, upcoming_action
from alembic_pgpipe.connect.url import scratch_folder
from alembic_pgpipe.environment.visit import Visit
from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.ledger.agreement import (
    Agreement,
    Evidence,
    agreement,
    said_applied,
)
from alembic_pgpipe.ledger.finding import REPAIR, Finding
from alembic_pgpipe.ledger.history import History
from alembic_pgpipe.ledger.other_tools import applied_by_another_tool
from alembic_pgpipe.ledger.tables import ATTEMPTS, MIGRATIONS
from alembic_pgpipe.model import Direction, Problem, Revision, Status
from alembic_pgpipe.project import OpenLedger, open_ledger, visit_project
from alembic_pgpipe.rehearsal.database import Where
from alembic_pgpipe.rehearsal.upcoming import Upcoming, identity, user
from alembic_pgpipe.revisions.broken import lost_wrapper, two_heads
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.revisions.unwrapped import out_of_reach, unwrapped_sources
from alembic_pgpipe.routines.working import GONE, RoutineChange, changed_routines, unsettled
from alembic_pgpipe.run.edited import counted_text, difference, edited_text
from alembic_pgpipe.run.failure import excerpt, problem_of
from alembic_pgpipe.run.ground import Ground
from alembic_pgpipe.run.outlook import hindrances, unknown_names
from alembic_pgpipe.run.plan import Action, Decision
from alembic_pgpipe.run.renamed import gone_texts, renamed
from alembic_pgpipe.run.step import EMPTY, Sources
from alembic_pgpipe.settings import Settings, read_settings
from alembic_pgpipe.shipping.trial import Outstanding, Trial, Tried
from alembic_pgpipe.showable import counted

STUCK = "not rehearsed: as it is, an upgrade would run nothing; mend what is said above first"
PUT_BACK = "Put its text back, and ship the change as a new source."
SKIPPED_HERE = (
    "{} SKIPPED in this database: {}. The scratch server has what these make, if they run "
    "there; what is pending and needs it would fail here"
)
# Of what a note lists it shows so many.
MOST_NAMES = 3
WORDS_ONLY = "Where only a comment changed, let it count as what was applied:"


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found in the pending revisions and so many changed routine files.

    ``notes`` say what could not be looked into, and what the pending revisions hold up.
    ``tried`` is what was run of them; None where they were only read.  An upgrade runs
    nothing of those that are ``passed_over``.
    """

    problems: tuple[Problem, ...]
    pending: tuple[Revision, ...]
    routines: int = 0
    notes: tuple[str, ...] = ()
    tried: Tried | None = None
    passed_over: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found by reading alone; ``stuck`` where an upgrade would run nothing.

    The ``upcoming`` revisions are the ``pending`` ones.  An upgrade runs nothing of those that
    are ``passed_over``, a rehearsal nothing of those whose sources ``say_skip``.  ``notes`` are
    what the next run settles by itself, and what holds it.  The database has nothing of those
    that were ``skipped``, though an empty server may run them.
    """

    upcoming: Upcoming
    problems: tuple[Problem, ...]
    pending: tuple[Revision, ...]
    passed_over: frozenset[str]
    say_skip: frozenset[str]
    routines: tuple[RoutineChange, ...]
    stuck: bool
    notes: tuple[str, ...]
    skipped: tuple[Revision, ...]

    @property
    def runs(self) -> bool:
        """Return whether there is anything to be rehearsed."""
        left_out = self.passed_over | self.say_skip
        return bool(self.routines) or any(one.id not in left_out for one in self.pending)

    def outstanding(self, config: Config) -> Outstanding:
        """Return what is to be rehearsed."""
        return Outstanding(config, self.upcoming, self.pending, self.say_skip, self.routines)

    def besides(self, tried: Tried | None) -> Iterator[str]:
        """Note what the server on which it was tried may have, and the database has not."""
        if tried is not None and tried.where is Where.SCRATCH and self.skipped:
            names = ", ".join(f"{one.id} ({one.name})" for one in self.skipped[:MOST_NAMES])
            more = ", …" if len(self.skipped) > MOST_NAMES else ""
            yield SKIPPED_HERE.format(counted(len(self.skipped), "revision"), f"{names}{more}")


def check(config: Config, *, rehearse: bool = True) -> CheckReport:
    """Validate all pending sources, and name applied ones that were edited since.

    Names where ``alembic_version`` and the ledger contradict each other as well.
    The project's database is only read.  Pending revisions and changed routine files are
    then tried on a scratch server, unless ``rehearse`` is false.
    """

    def look(visit: Visit) -> _Found:
        with open_ledger(visit) as ledger:
            return _read(ledger)

    found = visit_project(config, look)
    trial = Trial()
    if rehearse and found.runs:
        trial = Trial(notes=(STUCK,)) if found.stuck else found.outstanding(config).rehearse()
    project = read_settings(config).project
    problems = tuple(_shown(one, project) for one in (*found.problems, *trial.problems))
    notes = (*found.notes, *trial.notes, *found.besides(trial.tried))
    return CheckReport(
        problems, found.pending, len(found.routines), notes, trial.tried, found.passed_over
    )


def _shown(problem: Problem, project: Path) -> Problem:
    """Return a finding with the lines of its file that show the place."""
    if not problem.line:
        return problem
    lines = excerpt(project / problem.file, problem.line, problem.column)
    return replace(problem, excerpt=tuple(lines))


def _read(ledger: OpenLedger) -> _Found:
    revisions, settings = ledger.visit.revisions, ledger.visit.settings
    sources = Sources(settings)
    evidence = ledger.evidence()
    everything, history = evidence.revisions, evidence.history
    pending = _pending(evidence)
    passed_over = _passed_over(pending, history, sources)
    agreed = agreement(evidence)
    gone = _gone_texts(evidence, sources)
    runs = [r for r in pending if r.id not in passed_over]
    lost = _lost_ground(ledger, runs, history, sources)
    stuck = (
        *_applied_by_another_tool(ledger),
        *_heads(revisions),
        *(Problem(one.path, _said(one, evidence, settings)) for one in agreed.findings),
        *(p for r in pending for p in _refusal(r, sources, gone)),
        *(problem_of(error) for error in lost),
    )
    routines, unreadable = _changed(settings)
    problems = (
        *stuck,
        *_unwrapped(revisions, settings),
        *_shared(everything),
        *(p for r in everything for p in _edited(r, history, sources)),
        *(problem_of(error) for r in runs if (error := sources.undo_refusal(r))),
        *unreadable,
    )
    return _Found(
        _upcoming(ledger, pending, evidence.passed, history),
        problems,
        pending,
        passed_over,
        frozenset(r.id for r in pending if sources.facts(r).skip),
        routines,
        stuck=bool(stuck),
        notes=tuple(_noted(ledger, pending, agreed, sources, evidence)),
        skipped=tuple(_skipped(everything, history, sources)),
    )


def _pending(evidence: Evidence) -> tuple[Revision, ...]:
    """Return what an upgrade would meet; it begins with what is to be tried again."""
    passed, history = evidence.passed, evidence.history
    found = (r for r in evidence.revisions if _is_pending(r, history, r.id in passed))
    return tuple(sorted(found, key=lambda revision: revision.id not in passed))


def _passed_over(
    pending: Iterable[Revision], history: History, sources: Sources
) -> frozenset[str]:
    """Return of which pending revisions an upgrade runs nothing, for their sources say so."""
    passed = (r for r in pending if upcoming_action(r, history, sources) is Action.PASS)
    return frozenset(revision.id for revision in passed)


def _noted(
    ledger: OpenLedger,
    pending: Sequence[Revision],
    agreed: Agreement,
    sources: Sources,
    evidence: Evidence,
) -> Iterator[str]:
    """Yield what the next run settles by itself, what may hold it, and what is no directive."""
    if said := out_of_reach(ledger.visit.settings):
        yield said
    if pending:
        schema = ledger.visit.settings.schema
        yield from hindrances(ledger.connection, schema, ledger.missing)
    yield from _unknown_names(ledger, pending, sources)
    yield from agreed.notes
    yield from _held(evidence, agreed, sources)
    yield from _empty(pending, sources)
    yield from _asked_for(pending, evidence.history, sources)
    for revision in pending:
        yield from sources.doubts(revision)


def _skipped(
    revisions: Iterable[Revision], history: History, sources: Sources
) -> Iterator[Revision]:
    """Yield those that were skipped here, and that nothing keeps from running elsewhere."""
    for revision in revisions:
        skipped = history.status(revision.id) is Status.SKIPPED
        if skipped and not sources.facts(revision).skip:
            yield revision


def _asked_for(
    pending: Iterable[Revision], history: History, sources: Sources
) -> Iterator[str]:
    """Note what will run because somebody wants it, and is not rehearsed: it says --skip."""
    for revision in pending:
        runs = upcoming_action(revision, history, sources) is Action.RUN
        if runs and sources.facts(revision).skip:
            yield (
                f"{revision.id} ({revision.name}) is to run, for somebody asked to retry it, "
                "and is not rehearsed: its source says --skip. Take that out to have it tried"
            )


def _upcoming(
    ledger: OpenLedger,
    pending: Iterable[Revision],
    passed: Collection[str],
    history: History,
) -> Upcoming:
    ids = tuple(revision.id for revision in pending)
    return Upcoming(
        frozenset(ledger.heads),
        ids,
        identity(ledger.connection),
        user(ledger.connection),
        frozenset(passed).intersection(ids),
        frozenset(id_ for id_ in passed if history.status(id_) is Status.SKIPPED),
    )


def _changed(settings: Settings) -> tuple[tuple[RoutineChange, ...], tuple[Problem, ...]]:
    """Return the routine files that differ from their snapshot, and what is wrong there."""
    try:
        changes = changed_routines(settings)
    except SourceError as error:
        return (), (problem_of(error),)
    waiting = unsettled(changes)
    gone = tuple(Problem(change.path, GONE) for change in waiting if not change.new)
    return tuple(change for change in waiting if change.new), gone


def _is_pending(revision: Revision, history: History, passed: bool) -> bool:
    status = history.status(revision.id)
    if passed:
        return status in (Status.RETRY, Status.ERROR)
    return status not in (Status.SKIPPED, Status.SUCCESS)


def _applied_by_another_tool(ledger: OpenLedger) -> Iterator[Problem]:
    if MIGRATIONS in ledger.missing:
        revisions, versions = ledger.visit.revisions, ledger.visit.given.versions
        found = applied_by_another_tool(ledger.connection, versions, revisions.all())
        if found is not None:
            yield Problem(revisions.settings.shown(revisions.versions), str(found))


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


def _lost_ground(
    ledger: OpenLedger, pending: Sequence[Revision], history: History, sources: Sources
) -> Iterator[SourceError]:
    """Yield why what is done in part may not go on as it is."""
    if ATTEMPTS in ledger.missing:
        return
    ground = Ground(ledger.visit.revisions, ledger.recorder.reading, sources)
    elsewhere = ground.begun_elsewhere(pending)
    for revision in pending:
        if sources.refusal(revision) is None:
            try:
                step = sources.step(revision, Direction.UPGRADE, Decision(Action.RUN))
                ground.refuse_lost(step, history, elsewhere)
            except SourceError as error:
                yield error


def _gone_texts(evidence: Evidence, sources: Sources) -> Mapping[str, Revision]:
    history = evidence.history
    applied = said_applied(history) & evidence.passed
    known = (one for one in evidence.revisions if one.id in applied)
    return gone_texts(((one, counted_text(one.id, history)) for one in known), sources)


def _refusal(
    revision: Revision, sources: Sources, gone: Mapping[str, Revision]
) -> Iterator[Problem]:
    refusal = sources.refusal(revision) or renamed(revision, gone, sources)
    if refusal is not None:
        yield problem_of(refusal)


def _unknown_names(
    ledger: OpenLedger, pending: Iterable[Revision], sources: Sources
) -> Iterable[str]:
    """Return which databases and roles the sources that will run name in vain."""
    if scratch_folder(sources.settings.url, sources.settings.project) is not None:
        # It has only what the project makes.
        return ()
    runnable = (r.source for r in pending if r.source and sources.refusal(r) is None)
    loaded = [sources.load(file) for file in runnable]
    return unknown_names(ledger.connection, [s for s in loaded if not s.directives.skip])


def _held(evidence: Evidence, agreed: Agreement, sources: Sources) -> Iterator[str]:
    """Note what failed and nobody has decided on; not what may be applied all the same."""
    doubtful = {finding.subject for finding in agreed.findings}
    for revision, out in held(evidence, sources):
        if revision.id not in doubtful:
            yield f"{revision.id} ({revision.name}) failed and holds the next run: {out}"


def _empty(pending: Iterable[Revision], sources: Sources) -> Iterator[str]:
    """Note what would be applied as it is, and nobody may write anything into it then."""
    for revision in pending:
        if sources.is_empty(revision):
            file = sources.file(revision)
            yield f"{file} {EMPTY} yet; once it is applied, none can be added to it"


def _edited(revision: Revision, history: History, sources: Sources) -> Iterator[Problem]:
    differs = difference(revision, history, sources)
    if differs is None:
        return
    said = f"{differs}. {PUT_BACK}"
    if edited_text(revision, history, sources) is not None:
        said += f" {WORDS_ONLY} {REPAIR} --applied {revision.id}"
    yield Problem(sources.file(revision), said)
