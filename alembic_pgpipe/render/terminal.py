"""What a command found, for a terminal or a build log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timezone
from io import StringIO
from typing import TYPE_CHECKING

from alembic_pgpipe.model import BuildRecord, RevisionState, Status
from alembic_pgpipe.showable import counted

if TYPE_CHECKING:
    # What one command found is shown without importing the others.
    from alembic_pgpipe.commands.append import Wrapped
    from alembic_pgpipe.commands.check import CheckReport
    from alembic_pgpipe.commands.close import ClosedBuild
    from alembic_pgpipe.commands.decide import Change
    from alembic_pgpipe.commands.drift import Compared, DriftReport, FoundDrift
    from alembic_pgpipe.commands.init import ProjectFile
    from alembic_pgpipe.commands.pull import PullReport
    from alembic_pgpipe.commands.repair import Proposal, RepairReport
    from alembic_pgpipe.commands.status import StatusReport
    from alembic_pgpipe.commands.wrap import Missing

# Of what an upgrade would meet, so many are named.
MOST_PENDING = 20
# Where the pending was run, by the name of the place.
RUN = {
    "scratch": "run on a scratch server",
    "given": "run in the database of pgpipe.rehearsal_url, and rolled back",
}
# A pipe has no width; a build log is wide and is searched, so nothing is folded there.
PIPE_WIDTH = 1000
NOTE_LIMIT = 160
NARROW = 100
NARROW_WITHOUT = frozenset({"when (UTC)", "build"})
NEVER_FOLDED = frozenset({"revision", "status", "when (UTC)"})
COMPLETE = "every source has its wrapper"
HEADER = ("revision", "source", "status", "when (UTC)", "build", "note")
DRIFT_NEXT = (
    "next: alembic pgpipe pull NAME keeps what the database holds; to have the project's "
    "again, ship it in a new source"
)
NO_ROUTINE = "no routine of the project has been run here"
NO_TABLE = "no table of the project has been made here"
TABLES_NEXT = (
    "what is to stay belongs in a new source, written so that it runs here as well (ADD "
    "COLUMN IF NOT EXISTS …); take back the rest by hand"
)
MISSING_NEXT = "to have a missing one again, ship it in a new source (CREATE … IF NOT EXISTS)"
STAMP_NEXT = (
    "next, here and in each database that holds them already: alembic stamp head\n"
    "and where they are missing: alembic upgrade head"
)
CONTRADICTION_NEXT = (
    "alembic_version and the ledger contradict each other\nnext: alembic pgpipe check"
)
INIT_NEXT = (
    "next: set sqlalchemy.url in alembic.ini, put your SQL files into the sql folder, "
    "then: alembic pgpipe wrap"
)


def status_table(report: StatusReport, width: int = PIPE_WIDTH) -> str:
    """Return the status of the revisions as a table, with what is left to be done.

    ``width`` is the terminal's, in columns.
    """
    rows = [_status_row(state) for state in report.revisions]
    parts = [report.database]
    if report.holder is not None:
        parts.append(f"a run is at work: {report.holder}")
    if report.earlier:
        parts.append(f"{report.earlier} earlier revisions are not shown (--all)")
    if rows:
        parts.append(_table(HEADER, rows, width))
    parts.append(_summary(report))
    return "\n".join(parts)


def drift(report: DriftReport, *, diff: bool) -> str:
    """Return what is not as the project made it, one to a line, with its diff if asked."""
    lines = [report.database]
    for one in report.found:
        lines.append(_drifted(one))
        if diff:
            lines += one.drift.diff()
    return "\n".join([*lines, *_beside_drift(report), *_compared(report)])


def _drifted(found: FoundDrift) -> str:
    one = found.drift
    what = f" ({', '.join(one.parts)})" if one.parts else ""
    file = f" · {found.file}" if found.file else ""
    shown = f"{one.object.kind.value.lower()} {one.object.identity}"
    return f"{one.state.value}{what}: {shown}{file}"


def _beside_drift(report: DriftReport) -> Iterator[str]:
    """Yield what was not compared, or may look like drift and is none."""
    yield from (f"{file}: a later source has dropped what it creates" for file in report.unmade)
    if report.pending:
        yield f"{counted(report.pending, 'pending revision')} not run here, and not counted"
    yield from (f"note: {note}" for note in report.notes)


def _compared(report: DriftReport) -> Iterator[str]:
    """Yield how many were compared, and what comes next."""
    routines, tables = report.routines, report.tables
    if routines is not None:
        yield _summed_up(routines) if routines.total or report.unmade else NO_ROUTINE
    if tables is not None:
        yield _summed_up(tables) if tables.total else NO_TABLE
    if routines is not None and routines.found:
        yield DRIFT_NEXT
    if tables is not None and tables.found:
        yield _next_of_tables(tables)


def _next_of_tables(side: Compared) -> str:
    from alembic_pgpipe.drift.differences import Drifted

    missing = [one.drift.state is Drifted.MISSING for one in side.found]
    ways = ("" if all(missing) else TABLES_NEXT, MISSING_NEXT if any(missing) else "")
    return f"next: {'; '.join(filter(None, ways))}"


def _summed_up(side: Compared) -> str:
    from alembic_pgpipe.drift.differences import Drifted

    what = ", ".join(counted(number, kind) for kind, number in side.counts.items())
    states = [one.drift.state for one in side.found]
    counts = [f"{states.count(s)} {s.value}" for s in Drifted if s in states]
    return f"{what} compared: {', '.join(counts) or 'as the project made them'}"


def changes(done: Sequence[Change]) -> str:
    """Return what retry or skip changed, and what comes next."""
    if not done:
        return "nothing to mark"
    return "\n".join([*map(_change, done), "next: alembic upgrade head"])


def _change(done: Change) -> str:
    stays = f" · {done.left_standing} and stay as they are" if done.left_standing else ""
    named = f"{done.revision.id} {done.revision.name}"
    return f"{named}: {done.before.value} → {done.after.value}{stays}"


def complete(empty: str | None) -> str:
    """Return that nothing is to be written; ``empty`` is the folder that sources belong in."""
    if empty is None:
        return COMPLETE
    return f"no SQL file is in {empty} yet; put yours there, then: alembic pgpipe wrap"


def missing(found: Missing) -> str:
    """Return what has no revision yet, and the command that writes all of it."""
    wrappers = (f"no wrapper: {one.name}" for one in found.wrappers)
    routines = (f"no revision: {one.path} ({one.what})" for one in found.routines)
    command = " ".join(("alembic pgpipe wrap", *found.options))
    return "\n".join((*wrappers, *routines, f"next: {command}"))


def wrapped(written: Sequence[Wrapped]) -> str:
    """Return which wrappers were written."""
    return "\n".join(f"{one.revision} {one.name} → {one.file}" for one in written)


def planned(revisions: Iterable[Wrapped]) -> str:
    """Return which revisions are about to be written, and what they drop or alter."""
    lines = ["these revisions are to be written:"]
    for one in revisions:
        lines.append(f"  {one.revision} {one.name}")
        lines += (f"      {note}" for note in one.notes)
    return "\n".join(lines)


def pulled(report: PullReport) -> str:
    """Return into which files objects were written."""
    lines = [
        f"{one.identity} → {one.file}{'' if one.changed else ': as it was'}"
        for one in report.pulled
    ]
    changed = any(one.changed for one in report.pulled)
    return "\n".join([*lines, "next: alembic pgpipe wrap"] if changed else lines)


def baseline(report: PullReport) -> str:
    """Return what became the baseline, what was left out, and what comes next."""
    lines = [f"{one.identity} → {one.file}" for one in report.pulled]
    lines += [f"left out: {one.identity}: {one.reason}" for one in report.left_out]
    if not report.pulled:
        return "\n".join([*lines, "nothing to pull"])
    return "\n".join([*lines, f"{len(report.pulled)} objects of {report.database}", STAMP_NEXT])


def problems(report: CheckReport) -> str:
    """Return the findings of a check, one to a line, what is pending, and how it was tried."""
    found = counted(len(report.problems), "problem") if report.problems else "no problems"
    notes = (f"note: {note}" for note in report.notes)
    shown = (line for one in report.problems for line in (str(one), *one.excerpt))
    return "\n".join([*shown, *notes, *_pending(report), f"{_checked(report)}: {found}"])


def _pending(report: CheckReport) -> Iterator[str]:
    """Yield what an upgrade would meet, in its order."""
    from alembic_pgpipe.run.plan import SAYS_SKIP

    for revision in report.pending[:MOST_PENDING]:
        passed = f" · {SAYS_SKIP} · passed over" if revision.id in report.passed_over else ""
        yield f"pending: {revision.id} {revision.name}{passed}"
    if (more := len(report.pending) - MOST_PENDING) > 0:
        yield f"pending: … and {more} more"


def _checked(report: CheckReport) -> str:
    """Return what was looked at, and whether it was run: the two must not read alike."""
    revisions, routines = len(report.pending) - len(report.passed_over), report.routines
    if not revisions and not routines:
        return "nothing that is pending runs" if report.pending else "nothing is pending"
    tried = report.tried
    ran = (tried.revisions, tried.routines) if tried is not None else (revisions, routines)
    seen = [_part(ran[0], revisions, "pending revision")] if revisions else []
    if routines:
        seen.append(_part(ran[1], routines, "changed routine file"))
    how = RUN[tried.where.value] if tried is not None else "read, not run"
    return f"{' and '.join(seen)} {how}"


def _part(some: int, of: int, what: str) -> str:
    return counted(of, what) if some == of else f"{some} of {counted(of, what)}"


def proposal(found: Proposal) -> str:
    """Return what repair would mend, and why."""
    lines = ["to be mended:"]
    for one in found.repairs:
        lines += [f"  {one.finding.facts}", f"      {one.mending}"]
    return "\n".join(lines)


def repaired(report: RepairReport) -> str:
    """Return what was mended, and what is left that only a person can know."""
    found = report.found
    lines = [str(finding) for finding in found.asked]
    lines += [f"note: {note}" for note in found.notes]
    mended = Counter(one.about.value for one in report.mended)
    lines += [f"{counted(count, noun)} {became}" for (noun, became), count in mended.items()]
    if found.repairs and not report.mended:
        lines.append("nothing was changed")
    if found.repairs:
        lines.append(f"next: alembic pgpipe repair{found.options} --yes")
    elif not report.left:
        lines.append("the ledger and alembic_version agree")
    return "\n".join(lines)


def build_log(record: BuildRecord) -> str:
    """Return a build's log with its outcome."""
    outcome = record.status or "not closed: it is running, or it died"
    return f"build {record.number}: {outcome}\n{record.logs.rstrip()}"


def closed(build: ClosedBuild) -> str:
    """Return how a build's row was found and what it says now."""
    outcome = "SUCCESS" if build.succeeded else "FAILURE"
    first = f"build {build.number}: {outcome} · {build.what} · {build.database}"
    return "\n".join([first, *(f"note: {note}" for note in build.notes)])


def project_files(files: Iterable[ProjectFile]) -> str:
    """Return what ``init`` did with each file, and what comes next."""
    lines = []
    for file in files:
        advice = f" · {file.advice}" if file.advice else ""
        lines.append(f"{file.path}: {file.written.value}{advice}")
    return "\n".join([*lines, INIT_NEXT])


def _status_row(state: RevisionState) -> tuple[str, ...]:
    when = f"{state.at.astimezone(timezone.utc):%Y-%m-%d %H:%M}" if state.at else ""
    said = f"{state.who}: {state.reason}" if state.reason and state.who else state.reason
    decided = state.status in (Status.SKIPPED, Status.RETRY)
    failed = (state.logs or "").splitlines()[:1] if state.status is Status.ERROR else []
    note = "; ".join(filter(None, [said if decided else None, *failed, *state.notes]))
    if len(note) > NOTE_LIMIT:
        note = note[: NOTE_LIMIT - 1] + "…"
    return (
        state.revision.id,
        state.revision.name,
        state.status.value,
        when,
        state.build_number or "",
        note,
    )


def _summary(report: StatusReport) -> str:
    statuses = [state.status for state in report.revisions]
    counts = [
        f"{statuses.count(status)} {status.value}" for status in Status if status in statuses
    ]
    total = ", ".join(counts) or "no revisions: alembic pgpipe wrap writes them"
    return "\n".join([total, *_next(report)])


def _next(report: StatusReport) -> Iterator[str]:
    if not report.agrees:
        yield CONTRADICTION_NEXT
    elif report.following is not None:
        yield f"next: {report.following}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Return a table; a narrow one goes without time and build, an empty column is left out."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    left_out = NARROW_WITHOUT if width < NARROW else frozenset()
    kept = [
        place
        for place, name in enumerate(header)
        if name not in left_out and any(row[place] for row in rows)
    ]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place in kept:
        table.add_column(header[place], overflow="fold", no_wrap=header[place] in NEVER_FOLDED)
    for row in rows:
        table.add_row(*(Text(row[place]) for place in kept))
    out = StringIO()
    Console(file=out, width=width, no_color=True, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines() if line.strip())
