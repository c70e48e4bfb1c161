"""Reading a history without importing it: every answer is the one of plain Alembic."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alembic_pgpipe.errors import RevisionError
from alembic_pgpipe.revisions import history_map
from alembic_pgpipe.revisions.history_map import HistoryMap, RecentMap
from alembic_pgpipe.revisions.project import ProjectRevisions
from alembic_pgpipe.settings import read_settings
from tests.answers import answer, plain_alembic
from tests.project import Project
from tests.random_history import Kind, Made, histories, write_project
from tests.scratch_folder import scratch_folder

COMMANDS = (
    ["heads"],
    ["heads", "--verbose"],
    ["heads", "--resolve-dependencies"],
    ["branches", "--verbose"],
    ["history"],
    ["history", "--verbose"],
    ["history", "-r-1:"],
    ["history", "-r-2:"],
    ["history", "--verbose", "-r-3:head"],
    ["history", "-r-2:heads"],
    ["history", "-rbase:head"],
    ["show", "head"],
    ["show", "heads"],
)
quickly = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@contextmanager
def written(history: list[Made]) -> Iterator[Path]:
    with scratch_folder() as folder:
        yield write_project(folder, history)


def directory(ini: Path) -> ScriptDirectory:
    return ScriptDirectory.from_config(Config(ini))


@quickly
@given(histories())
def test_every_command_answers_as_plain_alembic_does(history: list[Made]) -> None:
    with written(history) as ini:
        ours = [answer(ini, command) for command in COMMANDS]
        with plain_alembic():
            theirs = [answer(ini, command) for command in COMMANDS]
    assert ours == theirs


def steps(script: ScriptDirectory, to: str, heads: Any) -> list[str]:
    """Return the steps of an upgrade, or how finding them fails."""
    try:
        return [str(step) for step in script._upgrade_revs(to, heads)]
    except CommandError as error:
        return [str(error)]


@quickly
@given(histories(), st.data())
def test_an_upgrade_has_the_same_steps_and_current_the_same_answer(
    history: list[Made], data: st.DataObject
) -> None:
    with written(history) as ini:
        with plain_alembic():
            plain = directory(ini)
        names = [made.id for made in history]
        some = data.draw(st.lists(st.sampled_from(names), max_size=3)) if names else []
        # What alembic_version holds: no revision beside one that builds on it.
        heads = tuple(s.revision for s in plain.get_all_current(tuple(some)))
        to = data.draw(st.sampled_from(("head", "heads", "+1", "+2")))
        script = directory(ini)
        revisions = ProjectRevisions(script, read_settings(Config(ini)))
        revisions.see_recent(heads)
        assert steps(script, to, heads) == steps(plain, to, heads)
        current = {str(s) for s in script.get_all_current(heads)}
        assert current == {str(s) for s in plain.get_all_current(heads)}


@quickly
@given(histories(), st.data())
def test_the_project_s_revisions_are_the_same(history: list[Made], data: st.DataObject) -> None:
    with written(history) as ini:
        ours = ProjectRevisions(directory(ini), read_settings(Config(ini)))
        with plain_alembic():
            theirs = ProjectRevisions(directory(ini), read_settings(Config(ini)))
        assert ours.all() == theirs.all()
        assert set(ours.heads()) == set(theirs.heads())
        assert ours.ids() == theirs.ids() == {made.id for made in history}
        some = data.draw(st.sets(st.sampled_from(sorted(ours.ids())))) if history else set()
        assert ours.those(some) == tuple(one for one in theirs.all() if one.id in some)
        names = {one.name for one in theirs.all() if data.draw(st.booleans())} | {"gone"}
        assert ours.those(some, names) == tuple(
            one for one in theirs.all() if one.id in some or one.name in names
        )
        count = data.draw(st.integers(0, 15))
        assert ours.latest(count) == theirs.all()[max(0, len(history) - count) :]
        for made in history:
            assert ours.applied([made.id]) == theirs.applied([made.id])
            assert ours.get(made.id) == theirs.get(made.id)


def line(count: int, name: str = "r") -> list[Made]:
    ids = [f"{name}{number:03}" for number in range(count)]
    return [Made(id_, (ids[at - 1],) if at else ()) for at, id_ in enumerate(ids)]


def braid(stretches: int) -> list[Made]:
    """Return a history that parts in two and joins again, over and over; two ends are open."""
    made = [Made("r000")]
    for number in range(1, stretches):
        left, right, join = (f"{number}{way}" for way in "lrj")
        before = (made[-1].id,)
        made += [Made(left, before), Made(right, before)]
        made.append(Made(join, (right, left), kind=Kind.EMPTY))
    # Of these the second has the first file.
    return [*made, Made("9", (made[-1].id,)), Made("90", (made[-1].id,))]


def test_many_merges_are_in_alembic_s_order_and_none_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with written(braid(40)) as ini:
        with plain_alembic():
            expected = [s.revision for s in directory(ini).walk_revisions()]

        def load(folder: str, name: str) -> None:
            pytest.fail(f"{name} was imported")

        monkeypatch.setattr(history_map, "load_python_file", load)
        script = directory(ini)
        found = ProjectRevisions(script, read_settings(Config(ini))).all()
        assert [revision.id for revision in reversed(found)] == expected
        # Those are described from the scripts that Alembic has.
        revisions = ProjectRevisions(script, read_settings(Config(ini)))
        assert tuple(map(revisions.describe, script.walk_revisions()))[::-1] == found


def test_of_a_line_that_is_not_applied_nothing_is_cut_off() -> None:
    with written([*line(4, "a"), *line(20, "b")]) as ini:
        with plain_alembic():
            expected = steps(directory(ini), "heads", ("a002",))
        script = directory(ini)
        ProjectRevisions(script, read_settings(Config(ini))).see_recent(["a002"])
        assert steps(script, "heads", ("a002",)) == expected
        assert len(expected) == 21


def test_of_a_long_line_only_the_latest_revisions_are_looked_at() -> None:
    with written(line(30)) as ini:
        script = directory(ini)
        revisions = ProjectRevisions(script, read_settings(Config(ini)))
        revisions.see_recent(["r027"])
        assert isinstance(script.revision_map, RecentMap)
        assert script.revision_map.cut == "r026"
        assert len(list(script.walk_revisions())) == 4
        assert revisions.get("r003").name == "r003"
        assert isinstance(script.revision_map, HistoryMap)
        assert len(list(script.walk_revisions())) == 30


def test_what_heads_build_on_is_found_however_often_and_for_whom_it_is_asked() -> None:
    with written(line(4)) as ini:
        script = directory(ini)
        revisions = ProjectRevisions(script, read_settings(Config(ini)))
        for _ in range(2):
            assert revisions.applied(["r001"]) == {"r000", "r001"}
        assert revisions.applied(["r002"]) == {"r000", "r001", "r002"}
        assert revisions.applied(["r001"]) == {"r000", "r001"}
        assert revisions.applied([]) == frozenset()
        assert revisions.applied(["r003"]) == revisions.ids()
        for _ in range(2):
            with pytest.raises(RevisionError, match="r009"):
                revisions.applied(["r009"])


def test_a_release_of_alembic_that_we_do_not_know_reads_in_its_own_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with written(line(3)) as ini:
        ours = answer(ini, ["history", "--verbose"])
        monkeypatch.setattr(history_map, "OF_SCRIPT", ("self", "something", "new"))
        script = directory(ini)
        assert not isinstance(script.revision_map, (HistoryMap, RecentMap))
        revisions = ProjectRevisions(script, read_settings(Config(ini)))
        assert revisions.applied(["r001"]) == {"r000", "r001"}
        assert answer(ini, ["history", "--verbose"]) == ours


def test_no_wrapper_is_imported_until_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []

    def load(folder: str, name: str) -> None:
        imported.append(name)

    monkeypatch.setattr(history_map, "load_python_file", load)
    with written(line(5)) as ini:
        assert next(s.revision for s in directory(ini).walk_revisions()) == "r004"
    assert imported == []


def test_a_run_with_nothing_to_do_imports_no_wrapper(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.wrapped(a="CREATE TABLE a ();\n", b="CREATE TABLE b ();\n", c="SELECT 1;\n")
    assert project.upgrade().code == 0

    def load(folder: str, name: str) -> None:
        pytest.fail(f"{name} was imported")

    monkeypatch.setattr(history_map, "load_python_file", load)
    for command in (["upgrade", "head"], ["heads"], ["pgpipe", "status"]):
        assert project.alembic(*command).code == 0
    assert "nothing to do" in project.upgrade().text
