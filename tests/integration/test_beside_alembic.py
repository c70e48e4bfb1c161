"""Random commands on random histories: beside plain Alembic, each one does the same.

Plain Alembic has its own env.py and its own reading of the revisions, and for wrappers
Python revisions that run the same SQL.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import alembic
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL

from alembic_pgpipe.errors import PgpipeError
from benchmarks.projects import Writer
from tests.answers import failure, plain_alembic, printed
from tests.project import Project
from tests.random_history import Kind, Made, histories
from tests.scratch_folder import scratch_folder

GENERIC_ENV = Path(alembic.__file__).parent / "templates/generic/env.py"
# It sets up the logging of the whole process.
SETS_UP_LOGGING = "fileConfig(config.config_file_name)"
ALEMBIC = logging.getLogger("alembic.runtime.migration")
EMPTIED = (
    "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE ran (id serial, step text)"
)
# A run says on the terminal what it does; Alembic says nothing.
TALKATIVE = ("upgrade", "downgrade", "stamp")
ALWAYS = ("head", "heads", "base", "+1", "+2", "-1", "-2", "current", "nonsense", "nonsense+1")
AROUND = ("", "+1", "+2", "-1", "@head", "@heads", "@base", "@+1", "@-1", "@nonsense")
SHOWN = (
    ["current"],
    ["current", "--verbose"],
    ["current", "--check-heads"],
    ["heads"],
    ["heads", "--verbose"],
    ["branches"],
    ["branches", "--verbose"],
    ["history"],
    ["history", "--verbose", "--indicate-current"],
    ["history", "-i"],
    ["history", "-rcurrent:"],
    ["history", "-r:current"],
    ["history", "-i", "-r-2:current"],
    ["history", "-i", "-r-3:"],
    ["history", "-rcurrent:+2"],
    ["history", "-r-2:+1"],
)
rarely = settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@dataclass(frozen=True)
class Answer:
    """What came of a command: what it printed, what it ran, and what is applied now.

    ``refused`` is how it failed; ``ours`` says that it did so in words of our own.
    """

    printed: str
    refused: str | None
    ours: bool
    announced: tuple[str, ...]
    ran: tuple[str, ...]
    applied: frozenset[str]


class Announced(logging.Handler):
    """Keeps what Alembic says to its logger of the steps that it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line of a step."""
        if record.getMessage().startswith("Running "):
            self.lines.append(record.getMessage())


@contextmanager
def announced() -> Iterator[list[str]]:
    handler, level = Announced(), ALEMBIC.level
    ALEMBIC.addHandler(handler)
    ALEMBIC.setLevel(logging.INFO)
    try:
        yield handler.lines
    finally:
        ALEMBIC.removeHandler(handler)
        ALEMBIC.setLevel(level)


def answer(project: Project, command: list[str]) -> Answer:
    """Type a command, and look what came of it."""
    shown, error = "", None
    project.query("TRUNCATE ran")
    with announced() as lines:
        try:
            shown = printed(project.folder / "alembic.ini", command)
        except Exception as raised:  # noqa: BLE001  how it fails is part of the answer
            error = raised
    return Answer(
        told(command, masked(shown, project)),
        None if error is None else masked(failure(error), project),
        isinstance(error, PgpipeError),
        tuple(lines),
        tuple(step for (step,) in project.query("SELECT step FROM ran ORDER BY id")),
        applied(project),
    )


def told(command: list[str], shown: str) -> str:
    """Return what is to be compared of what a command printed."""
    if command[0] in TALKATIVE:
        return ""
    # Alembic itself shows what is current in no order.
    return "\n".join(sorted(shown.splitlines())) if command[0] == "current" else shown


def masked(text: str, project: Project) -> str:
    """Return what was said as any project in any database would say it."""
    return text.replace(str(project.folder), "FOLDER").replace(str(project.url), "URL")


def applied(project: Project) -> frozenset[str]:
    if project.scalar("SELECT to_regclass('public.alembic_version')") is None:
        return frozenset()
    rows = project.query("SELECT version_num FROM public.alembic_version")
    assert len(rows) == len(set(rows))
    return frozenset(version for (version,) in rows)


def write(project: Project, history: list[Made], *, plain: bool) -> None:
    """Write the revisions, and for us the sources of the wrappers."""
    project.query(EMPTIED)
    writer = Writer()
    for made in history:
        text, up, down = made.text(writer), made.sql("up"), made.sql("down")
        if plain:
            text = text.replace("op.run_source(source)", f"op.execute({up!r})")
            text = text.replace("op.run_source(undo)", f"op.execute({down!r})")
        elif made.kind is Kind.WRAPPER:
            project.source(made.id, up, down)
        project.write(f"alembic/versions/{made.id}_x.py", text)
    if plain:
        env = GENERIC_ENV.read_text("utf-8")
        assert SETS_UP_LOGGING in env
        project.write("alembic/env.py", env.replace(SETS_UP_LOGGING, "pass"))


@contextmanager
def both(history: list[Made], ours: URL, plain: URL) -> Iterator[tuple[Project, Project]]:
    """Write the same history for us and for plain Alembic, each with an empty database."""
    with scratch_folder() as folder:
        sides = (Project(folder / "ours", ours), Project(folder / "plain", plain))
        for side in sides:
            write(side, history, plain=side is sides[1])
        yield sides


def targets(history: list[Made]) -> st.SearchStrategy[str]:
    """Return ways to name a revision: by its id, a part of it or a label, or relatively."""
    always = st.sampled_from(ALWAYS)
    if not history:
        return always
    ids = [made.id for made in history]
    parts = [id_[:length] for id_ in ids for length in range(1, len(id_))]
    labels = [made.label for made in history if made.label is not None]
    named = st.sampled_from([*ids, *parts, *labels])
    return st.one_of(
        always,
        st.sampled_from(ids),
        st.tuples(named, st.sampled_from(AROUND)).map("".join),
        st.tuples(st.sampled_from(labels or ids), st.sampled_from(AROUND)).map("".join),
    )


def commands(history: list[Made]) -> st.SearchStrategy[list[str]]:
    """Return commands that move, and commands that show something."""
    target = targets(history)
    ranges = st.tuples(target, target).map(":".join)
    # Alembic would take -1:base for an option.
    downwards = ranges.filter(lambda one: not one.startswith("-"))
    return st.one_of(
        st.sampled_from(SHOWN),
        st.tuples(st.just("upgrade"), target).map(list),
        st.sampled_from((["upgrade", "heads"], ["upgrade", "+1"], ["upgrade", "+2"])),
        st.tuples(st.just("downgrade"), target).map(list),
        st.tuples(st.just("stamp"), target).map(list),
        st.tuples(st.just("stamp"), target, target).map(list),
        st.tuples(st.just("stamp"), st.just("--purge"), target).map(list),
        st.tuples(st.just("upgrade"), target, st.just("--sql")).map(list),
        st.tuples(st.just("downgrade"), downwards, st.just("--sql")).map(list),
        st.tuples(st.just("show"), target).map(list),
        ranges.map(lambda one: ["history", f"-r{one}"]),
        ranges.map(lambda one: ["history", "-i", f"-r{one}"]),
    )


def as_plain_alembic_says(ours: Answer, plain: Answer) -> Answer:
    """Return our answer; where we refuse in words of our own, those of Alembic are in it."""
    refused = plain.refused if ours.ours and plain.refused is not None else ours.refused
    return Answer(ours.printed, refused, False, ours.announced, ours.ran, ours.applied)


def overlap(history: list[Made], versions: frozenset[str]) -> bool:
    """Return whether one version builds on another, by whatever way."""
    behind: dict[str, set[str]] = {}
    for made in history:
        parents = {*made.down, *([made.depends] if made.depends else [])}
        behind[made.id] = parents.union(*(behind[parent] for parent in parents))
    return any(versions & behind[version] for version in versions)


@rarely
@given(histories(), st.data())
def test_each_command_does_what_it_does_in_plain_alembic(
    database: URL, second_database: URL, history: list[Made], data: st.DataObject
) -> None:
    drawn = data.draw(st.lists(commands(history), min_size=4, max_size=12))
    with both(history, database, second_database) as (ours, theirs):
        for command in drawn:
            found = answer(ours, command)
            with plain_alembic():
                expected = answer(theirs, command)
            assert as_plain_alembic_says(found, expected) == expected, command
            # Alembic stamps a revision beside one that builds on it, and from then on takes
            # them for two branches.  Our runs refuse that: alembic pgpipe repair mends it.
            if command[0] == "stamp" and overlap(history, expected.applied):
                return
