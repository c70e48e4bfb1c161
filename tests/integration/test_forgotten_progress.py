"""Progress of a try that was settled, or whose ground is gone, is not gone on from."""

from __future__ import annotations

import pytest

from alembic_pgpipe.ledger.script import BEGUN
from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project

A, B = (revision_id(name) for name in "ab")
OFF = "-- pgpipe: transaction = off\n"
TWO = f"{OFF}CREATE TABLE one (i int);\nCREATE TABLE two (i int);\nSELECT {{}};\n"
UNDO = "DROP TABLE two; DROP TABLE one;\n"
INDEX = "CREATE INDEX CONCURRENTLY ix ON a (i);\n"
ON_A = f"{OFF}ALTER TABLE a ADD COLUMN x int;\n{INDEX}SELECT {{}};\n"
HALF = f"{OFF}CREATE TABLE IF NOT EXISTS t (i int);\nINSERT INTO t VALUES (1);\n{{}};\n"


def tables(project: Project) -> tuple[str | None, str | None]:
    [found] = project.query("SELECT to_regclass('one')::text, to_regclass('two')::text")
    return found


def columns(project: Project) -> list[str]:
    wanted = "attrelid = to_regclass('a') AND attnum > 0"
    return [
        name for (name,) in project.query(f"SELECT attname FROM pg_attribute WHERE {wanted}")
    ]


def checked(project: Project) -> str:
    """Expect that ``check`` finds something; return what it says."""
    result = project.alembic("pgpipe", "check", "--no-rehearsal")
    assert result.code == 6, result.text
    return result.output


# -- what it stood on is gone ----------------------------------------------------------------


@pytest.mark.parametrize("skipped", [False, True], ids=["failed", "skipped and passed"])
def test_what_stood_on_something_that_was_taken_back_asks(
    project: Project, skipped: bool
) -> None:
    project.source("a", "CREATE TABLE a (i int);\n", "DROP TABLE a;\n")
    project.source("b", ON_A.format("1/0"))
    project.wrapped()
    assert project.upgrade().code == 1
    if skipped:
        project.ok("pgpipe", "skip", B, "--reason", "later")
        project.ok("upgrade", "head")
    project.ok("downgrade", "base")
    project.source("b", ON_A.format("1"))
    said = (
        f"build local_run finished 2 statements of it, and since then {A}, on which it builds"
    )
    assert f"alembic/sql/b.sql: {said}" in checked(project)
    refused = project.upgrade().text
    assert said in refused and f"pgpipe retry {B}" not in refused
    # Also where it stands again, and where that was tried before.
    project.ok("upgrade", A)
    project.ok("pgpipe", "retry", B)
    assert said in project.upgrade().text
    assert project.ledger()["b"] == "ERROR"
    mended = project.ok("pgpipe", "repair", "--not-applied", B, "--yes").output
    assert "(b): build local_run did 2 statements, which are to run again" in mended
    assert "1 revision to begin anew: alembic upgrade head" in mended
    assert "contradiction" not in mended
    project.ok("upgrade", "head")
    assert columns(project) == ["i", "x"]
    assert project.ledger() == {"a": "SUCCESS", "b": "SUCCESS"}


def test_ground_that_a_stamp_has_taken_back_is_gone_as_well(project: Project) -> None:
    project.source("a", "CREATE TABLE a (i int);\n", "DROP TABLE a;\n")
    project.source("b", ON_A.format("1/0"))
    project.wrapped()
    assert project.upgrade().code == 1
    project.query("DROP TABLE a")
    project.ok("stamp", "base")
    project.source("b", ON_A.format("1"))
    assert f"since then {A}, on which it builds, was taken back" in project.upgrade().text


def test_what_stands_beside_something_that_was_taken_back_goes_on(project: Project) -> None:
    project.source("a", TWO.format("1/0"))
    project.source("b", "SELECT 1;\n", "SELECT 1;\n")
    project.ok("pgpipe", "wrap")
    [wrapper] = (project.folder / "alembic/versions").glob(f"{B}*")
    wrapper.write_text(
        wrapper.read_text().replace(f"down_revision = '{A}'", "down_revision = None")
    )
    project.ok("upgrade", B)
    assert project.alembic("upgrade", A).code == 1
    project.ok("downgrade", f"{B}@base")
    project.source("a", TWO.format("1"))
    assert "resumed at statement 3 of 3" in project.ok("upgrade", A).output


def test_what_was_done_in_part_may_begin_anew_where_a_person_says_so(project: Project) -> None:
    project.wrapped(a=TWO.format("1/0"))
    assert project.upgrade().code == 1
    project.query(UNDO)
    project.source("a", TWO.format("1"))
    project.ok("pgpipe", "repair", "--not-applied", "a", "--yes")
    assert project.ledger() == {"a": "WAITING"}
    assert "resumed" not in project.ok("upgrade", "head").output
    assert tables(project) == ("one", "two")


def test_an_answer_about_what_is_half_done_is_written_once(project: Project) -> None:
    project.wrapped(a=TWO.format("1/0"))
    assert project.upgrade().code == 1
    # As a script that has stopped in it leaves the row.
    begun = "UPDATE migrations SET applied_status = 'RUNNING', logs = %s"
    project.query(begun, BEGUN)
    project.query(UNDO)
    mended = project.ok("pgpipe", "repair", "--not-applied", "a", "--yes").output
    assert "1 contradiction mended" in mended
    assert project.outcomes("a")[1:] == [("downgrade", "REPAIRED")]
    project.source("a", TWO.format("1"))
    project.ok("upgrade", "head")
    assert tables(project) == ("one", "two")


def test_what_was_not_begun_has_nothing_to_be_repaired(project: Project) -> None:
    project.wrapped(a="SELECT 1/0;\n")
    assert project.upgrade().code == 1
    result = project.alembic("pgpipe", "repair", "--not-applied", "a", "--yes")
    assert result.code == 1
    assert f"alembic stamp {A}" in result.text and f"pgpipe retry {A}" in result.text


# -- a repair --------------------------------------------------------------------------------


@pytest.fixture
def torn(project: Project) -> Project:
    """Give a project with a half done revision that is passed, and has no row."""
    project.source("a", TWO.format("1/0"), UNDO)
    project.wrapped()
    assert project.upgrade().code == 1
    project.query("DELETE FROM migrations")
    project.query("INSERT INTO alembic_version VALUES (%s)", A)
    return project


def test_after_a_repair_and_a_downgrade_all_of_it_runs(torn: Project) -> None:
    torn.ok("pgpipe", "repair", "--applied", A, "--yes")
    torn.ok("downgrade", "base")
    assert tables(torn) == (None, None)
    torn.source("a", TWO.format("1"), UNDO)
    torn.ok("upgrade", "head")
    assert torn.ledger() == {"a": "SUCCESS"}
    assert tables(torn) == ("one", "two")


def test_what_a_repair_says_is_not_applied_runs_from_its_start(torn: Project) -> None:
    torn.query(UNDO)
    torn.ok("pgpipe", "repair", "--not-applied", A, "--yes")
    torn.source("a", TWO.format("1"), UNDO)
    torn.ok("upgrade", "head")
    assert torn.ledger() == {"a": "SUCCESS"}
    assert tables(torn) == ("one", "two")


def test_an_undo_behind_a_repair_runs_from_its_start(project: Project) -> None:
    undo = f"{OFF}DROP TABLE two;\nSELECT {{}};\nDROP TABLE one;\n"
    project.source("a", TWO.format("1"), undo.format("1/0"))
    project.wrapped()
    project.ok("upgrade", "head")
    assert project.alembic("downgrade", "base").code == 1
    project.query("DROP TABLE one; DELETE FROM alembic_version")
    project.ok("pgpipe", "repair", "--not-applied", A, "--yes")
    project.ok("upgrade", "head")
    project.source("a", TWO.format("1"), undo.format("1"))
    project.ok("downgrade", "base")
    assert project.ledger() == {"a": "ROLLED_BACK"}
    assert tables(project) == (None, None)


# -- another name ----------------------------------------------------------------------------


def test_what_is_half_done_under_another_name_is_refused(project: Project) -> None:
    late = HALF.format("INSERT INTO late VALUES (1)")
    project.wrapped(a=late)
    assert project.upgrade().code == 1
    (project.folder / "alembic/sql/a.sql").unlink()
    for file in (project.folder / "alembic/versions").glob("*.py"):
        file.unlink()
    project.wrapped(**{"1_late": "CREATE TABLE late (i int);\n", "2_a": late})
    said = "2_a.sql: this is the text of a, of which build local_run finished 2 statements"
    assert said in checked(project)
    result = project.upgrade()
    assert result.code == 1
    said = "2_a.sql: this is the text of a, of which build local_run finished 2 statements"
    assert said in result.text
    assert project.query("SELECT i FROM t") == [(1,)]
    project.source("2_a", f"{OFF}INSERT INTO late VALUES (1);\n")
    project.ok("upgrade", "head")


def test_the_text_of_what_is_half_done_may_be_there_twice(project: Project) -> None:
    text = f"{OFF}SELECT 1;\nSELECT i / 0 FROM (VALUES (0)) AS v (i) WHERE false;\n"
    project.wrapped(a=HALF.format("SELECT 1/0"))
    assert project.upgrade().code == 1
    project.wrapped(b=HALF.format("SELECT 1/0"))
    project.source("a", text)
    result = project.upgrade()
    assert "this is the text of" not in result.text
