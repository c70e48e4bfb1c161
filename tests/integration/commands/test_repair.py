"""``alembic pgpipe repair``: shown first, mended with a yes, kept with who and why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sqlalchemy import URL

from alembic_pgpipe.connect.lock import lock_key
from alembic_pgpipe.revisions.wrapper import revision_id
from tests.background import busy_with, in_background
from tests.conftest import Connect
from tests.project import Project, Result
from tests.screen import on_terminal

A, B, C = (revision_id(name) for name in "abc")
REPAIR = ("pgpipe", "repair")
REPAIR_B = "alembic pgpipe repair"
AGREES = "the ledger and alembic_version agree\n"
# Whatever runs twice makes a second row.
SOURCE = """\
CREATE TABLE IF NOT EXISTS public.ran (name text);
INSERT INTO public.ran VALUES ('{0}');
"""


@pytest.fixture
def shipped(project: Project) -> Project:
    """Give a project whose three revisions are applied."""
    project.wrapped(**{name: SOURCE.format(name) for name in "abc"})
    project.ok("upgrade", "head")
    return project


def ran(project: Project) -> list[str]:
    return [name for (name,) in project.query("SELECT name FROM public.ran ORDER BY 1")]


def left(result: Result) -> str:
    """Expect that something is left, which is exit code 6; return what was printed."""
    assert result.code == 6, result.text
    return result.output


def agrees(project: Project) -> None:
    """Expect that nothing contradicts itself any more, and that nothing runs again."""
    assert project.ok(*REPAIR).output.endswith(AGREES)
    project.ok("pgpipe", "check", "--no-rehearsal")
    project.ok("upgrade", "head")
    assert ran(project) == sorted(set(ran(project)))


def everything(project: Project) -> list[tuple[object, ...]]:
    """Return all that repair could have changed."""
    return [
        *project.query("SELECT * FROM alembic_version ORDER BY 1"),
        *project.query("SELECT * FROM migrations ORDER BY id"),
        *project.query("SELECT * FROM migration_attempts ORDER BY id"),
    ]


# -- what the records prove -----------------------------------------------------------------


def test_nothing_to_mend_is_no_error_and_makes_nothing(project: Project) -> None:
    project.wrapped(a=SOURCE.format("a"))
    assert project.ok(*REPAIR, "--yes").output == AGREES
    assert project.scalar("SELECT to_regclass('public.migrations')") is None
    project.ok("upgrade", "head")
    before = everything(project)
    assert project.ok(*REPAIR, "--yes").output == AGREES
    assert everything(project) == before


def test_without_a_yes_it_is_only_shown(shipped: Project) -> None:
    shipped.query("DELETE FROM migrations WHERE migration_name = 'b'")
    before = everything(shipped)
    output = left(shipped.alembic(*REPAIR))
    assert f"  {B} (b): it has no row, build local_run applied it on " in output
    assert "      no row → SUCCESS\n" in output
    assert output.endswith("nothing was changed\nnext: alembic pgpipe repair --yes\n")
    assert everything(shipped) == before


def test_a_row_that_is_gone_comes_back_with_its_times(shipped: Project) -> None:
    times = "SELECT started_at, finished_at FROM migrations WHERE migration_name = 'b'"
    [(started, finished)] = shipped.query(times)
    shipped.query("DELETE FROM migrations WHERE migration_name = 'b'")
    output = shipped.ok(*REPAIR, "--yes", "--reason", "lost in a restore").output
    assert output.endswith(f"1 contradiction mended\n{AGREES}")
    assert shipped.ledger()["b"] == "SUCCESS"
    [(again, end)] = shipped.query(times)
    assert abs((again - started).total_seconds()) < 1
    assert abs((end - finished).total_seconds()) < 1
    agrees(shipped)


def test_who_and_why_are_kept_in_an_attempt(shipped: Project) -> None:
    shipped.query("DELETE FROM migrations WHERE migration_name = 'b'")
    ci = {"GITHUB_RUN_NUMBER": "7", "GITHUB_RUN_ID": "907", "GITHUB_ACTOR": "mona"}
    shipped.ok(*REPAIR, "--yes", "--reason", "it's 100 % sure", env=ci)
    [(direction, who, build, reason)] = shipped.query(
        "SELECT direction, who, build_number, reason FROM migration_attempts "
        "WHERE outcome = 'REPAIRED'"
    )
    assert (direction, who, build) == ("upgrade", "mona", "7")
    assert reason.startswith(f"it's 100 % sure; {B} (b): it has no row, ")


@pytest.mark.parametrize("status", ["RETRY", "RUNNING", "ERROR", "WAITING", "SKIPPED", "done"])
def test_an_edited_status_is_set_back(shipped: Project, status: str) -> None:
    shipped.query(
        "UPDATE migrations SET applied_status = %s WHERE migration_name = 'b'", status
    )
    assert " → SUCCESS\n" in shipped.ok(*REPAIR, "--yes").output
    assert set(shipped.ledger().values()) == {"SUCCESS"}
    agrees(shipped)
    assert ran(shipped) == ["a", "b", "c"]


def test_all_rows_that_are_gone_come_back(shipped: Project) -> None:
    shipped.query("DROP TABLE migrations")
    assert "3 contradictions mended" in shipped.ok(*REPAIR, "--yes").output
    assert shipped.ledger() == dict.fromkeys("abc", "SUCCESS")
    agrees(shipped)


def test_a_skip_whose_row_is_gone_is_a_skip_again(project: Project) -> None:
    project.wrapped(a=SOURCE.format("a"), b="SELECT 1/0;\n")
    project.ok("pgpipe", "skip", "b", "--reason", "later")
    project.ok("upgrade", "head")
    project.query("DELETE FROM migrations WHERE migration_name = 'b'")
    project.ok(*REPAIR, "--yes")
    assert project.ledger() == {"a": "SUCCESS", "b": "SKIPPED"}
    assert "later" in project.ok("pgpipe", "status").output
    agrees(project)


def test_a_passed_failure_whose_row_is_gone_fails_again_with_its_error(
    project: Project,
) -> None:
    project.wrapped(a="SELECT 1/0;\n", b=SOURCE.format("b"))
    project.ok("pgpipe", "skip", "a", "--reason", "later")
    project.ok("upgrade", "head")
    project.ok("pgpipe", "retry", "a")
    assert project.upgrade().code == 1
    project.query("DELETE FROM migrations WHERE migration_name = 'a'")
    project.ok(*REPAIR, "--yes")
    assert project.ledger()["a"] == "ERROR"
    assert "division by zero" in project.scalar("SELECT logs FROM migrations WHERE id = %s", A)
    assert project.upgrade().code == 3


def test_a_version_behind_another_one_is_taken_out(shipped: Project) -> None:
    shipped.query("INSERT INTO alembic_version VALUES (%s)", A)
    assert f"alembic_version: without {A}" in shipped.ok(*REPAIR, "--yes").output
    assert shipped.query("SELECT version_num FROM alembic_version") == [(C,)]
    assert shipped.outcomes("a")[-1] == ("upgrade", "REPAIRED")
    agrees(shipped)


def test_a_run_that_is_at_work_contradicts_nothing(project: Project) -> None:
    project.wrapped(a=SOURCE.format("a"), b="SELECT pg_sleep(30);\n")
    with in_background(project, "upgrade", "head"):
        busy_with(project, "%pg_sleep(30)%")
        assert project.ok(*REPAIR).output == AGREES
        check = project.ok("pgpipe", "check", "--no-rehearsal")
        assert check.output.endswith("\n1 pending revision read, not run: no problems\n")


# -- what only a person can know ------------------------------------------------------------


def test_what_cannot_be_known_is_never_guessed(shipped: Project) -> None:
    shipped.query("UPDATE alembic_version SET version_num = %s", A)
    before = everything(shipped)
    output = left(shipped.alembic(*REPAIR, "--yes"))
    assert f"If it is applied: alembic pgpipe repair --applied {B}" in output
    assert f"if it is not: alembic pgpipe repair --not-applied {C}" in output
    assert everything(shipped) == before


def test_what_a_person_says_is_applied_is_passed_over(shipped: Project) -> None:
    shipped.query("UPDATE alembic_version SET version_num = %s", A)
    left(shipped.alembic(*REPAIR, "--applied", "b", "--yes"))
    shipped.ok(*REPAIR, "--applied", C, "--yes", "--reason", "saw its table")
    output = shipped.ok("upgrade", "head").output
    assert "saw its table" in output and "passed over" in output
    assert shipped.query("SELECT version_num FROM alembic_version") == [(C,)]
    assert ran(shipped) == ["a", "b", "c"]
    agrees(shipped)


def test_what_a_person_says_is_not_applied_runs(shipped: Project) -> None:
    shipped.query("UPDATE alembic_version SET version_num = %s", A)
    shipped.query("DELETE FROM ran WHERE name <> 'a'")
    shipped.ok(*REPAIR, "--not-applied", "b", "--not-applied", "c", "--yes")
    assert shipped.ledger() == {"a": "SUCCESS", "b": "WAITING", "c": "WAITING"}
    agrees(shipped)
    assert ran(shipped) == ["a", "b", "c"]
    assert set(shipped.ledger().values()) == {"SUCCESS"}


def test_an_emptied_version_is_mended_with_one_command(shipped: Project) -> None:
    shipped.query("DELETE FROM alembic_version")
    said = "note: alembic_version is empty. If all is still there that the ledger says is "
    said += f"applied, one command says so: alembic stamp {C}\n"
    assert said in left(shipped.alembic(*REPAIR))
    assert said in left(shipped.alembic("pgpipe", "check"))
    shipped.ok("stamp", C)
    agrees(shipped)
    assert shipped.status() == dict.fromkeys("abc", "SUCCESS")


def test_an_emptied_version_is_not_stamped_over_what_was_skipped(project: Project) -> None:
    project.wrapped(a="SELECT 1;", b="SELECT 1/0;", c="SELECT 1;")
    assert project.upgrade().code == 1
    project.ok("pgpipe", "skip", B, "--reason", "x")
    project.ok("upgrade", "head")
    project.query("DELETE FROM alembic_version")
    assert "alembic stamp" not in left(project.alembic(*REPAIR))


def test_what_was_passed_and_is_not_applied_runs_out_of_order(project: Project) -> None:
    project.wrapped(**{name: SOURCE.format(name) for name in "abc"})
    project.ok("upgrade", A)
    project.query("UPDATE alembic_version SET version_num = %s", C)
    project.ok(*REPAIR, "--not-applied", "b", "--applied", "c", "--yes", "--reason", "forced")
    assert project.ledger() == {"a": "SUCCESS", "b": "RETRY", "c": "SUCCESS"}
    assert ": forced" in project.ok("upgrade", "head").output
    assert ran(project) == ["a", "b"]
    agrees(project)


def test_a_person_may_know_better_than_the_records(shipped: Project) -> None:
    shipped.query("DELETE FROM migrations WHERE migration_name = 'b'")
    shipped.query("DELETE FROM ran WHERE name = 'b'")
    shipped.ok(*REPAIR, "--not-applied", "b", "--yes")
    agrees(shipped)
    assert ran(shipped) == ["a", "b", "c"]


def test_a_text_that_was_edited_for_its_words_counts_as_the_applied_one(
    shipped: Project,
) -> None:
    edited = f"-- Copyright: we did.\n{SOURCE.format('b')}"
    shipped.source("b", edited)
    said = shipped.alembic("pgpipe", "check")
    assert said.code == 6 and f"{REPAIR_B} --applied {B}" in said.output
    result = shipped.ok(*REPAIR, "--applied", "b", "--yes", "--reason", "a licence header")
    assert f"{B} (b): its source differs from what build local_run applied" in result.output
    assert "what it says now counts as applied" in result.output
    assert "1 text taken for what was applied" in result.output
    agrees(shipped)
    assert "differs" not in shipped.ok("pgpipe", "status").output
    assert ran(shipped) == ["a", "b", "c"]
    [(outcome, reason)] = shipped.query(
        "SELECT outcome, reason FROM migration_attempts ORDER BY id DESC LIMIT 1"
    )
    assert outcome == "REWORDED" and "a licence header" in str(reason)


def test_a_text_that_is_edited_once_more_is_named_again(shipped: Project) -> None:
    shipped.source("b", f"-- first\n{SOURCE.format('b')}")
    shipped.ok(*REPAIR, "--applied", "b", "--yes")
    shipped.source("b", f"-- second\n{SOURCE.format('b')}")
    said = shipped.alembic("pgpipe", "check")
    assert said.code == 6 and "its source differs from the text that " in said.output
    shipped.source("b", SOURCE.format("b"))
    assert shipped.alembic("pgpipe", "check").code == 6


def test_a_text_that_counts_as_applied_is_undone_where_it_ran(
    project: Project, second_database: URL
) -> None:
    other = second_database.database
    project.source(
        "a", f"-- pgpipe: database = {other}\nCREATE TABLE t (id int);\n", "DROP TABLE t;\n"
    )
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    project.source(
        "a", "-- no directive any more\nCREATE TABLE t (id int);\n", "DROP TABLE t;\n"
    )
    project.ok(*REPAIR, "--applied", "a", "--yes")
    project.ok("downgrade", "base")
    assert project.ledger() == {"a": "ROLLED_BACK"}


def test_a_renamed_text_that_counts_as_applied_is_not_applied_again(shipped: Project) -> None:
    shipped.source("b", f"-- Copyright\n{SOURCE.format('b')}")
    shipped.ok(*REPAIR, "--applied", "b", "--yes")
    folder = shipped.folder / "alembic/sql"
    (folder / "b.sql").rename(folder / "z.sql")
    shipped.ok("pgpipe", "wrap")
    assert "this is the text of alembic/sql/b.sql" in shipped.alembic("pgpipe", "check").output
    assert shipped.upgrade().code != 0
    assert ran(shipped) == ["a", "b", "c"]


def test_an_edited_text_does_not_hide_what_is_half_undone(project: Project) -> None:
    off = "-- pgpipe: transaction = off\n"
    tables = "CREATE TABLE t (id int);\nCREATE TABLE u (id int);\n"
    project.source("a", f"{off}{tables}", f"{off}DROP TABLE u;\nSELECT 1/0;\nDROP TABLE t;\n")
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    assert project.alembic("downgrade", "-1").code != 0
    project.source("a", f"{off}-- Copyright\n{tables}")
    project.ok(*REPAIR, "--applied", "a", "--yes")
    assert "is taken back in part" in project.ok("pgpipe", "check", "--no-rehearsal").output
    project.write("alembic/sql/a.down.sql", f"{off}DROP TABLE u;\nSELECT 1;\nDROP TABLE t;\n")
    project.ok("downgrade", "-1")


def test_an_edited_text_does_not_hide_a_version_that_was_set_back(shipped: Project) -> None:
    shipped.source("c", f"-- Copyright\n{SOURCE.format('c')}")
    shipped.ok(*REPAIR, "--applied", "c", "--yes")
    shipped.query(f"UPDATE alembic_version SET version_num = '{B}'")
    said = left(shipped.alembic("pgpipe", "check", "--no-rehearsal"))
    assert "and alembic_version has not passed it" in said


def test_a_repaired_row_keeps_the_text_that_counts_as_applied(shipped: Project) -> None:
    shipped.source("b", f"-- Copyright\n{SOURCE.format('b')}")
    shipped.ok(*REPAIR, "--applied", "b", "--yes")
    shipped.query("DELETE FROM migrations WHERE migration_name = 'b'")
    shipped.ok(*REPAIR, "--yes")
    agrees(shipped)


def test_without_a_yes_a_text_does_not_count(shipped: Project) -> None:
    shipped.source("b", f"-- Copyright\n{SOURCE.format('b')}")
    before = everything(shipped)
    assert f"{REPAIR_B} --applied {B} --yes" in left(shipped.alembic(*REPAIR, "--applied", "b"))
    assert everything(shipped) == before


def test_a_text_that_is_gone_cannot_count_as_applied(shipped: Project) -> None:
    (shipped.folder / "alembic/sql/b.sql").unlink()
    assert "--applied" not in shipped.alembic("pgpipe", "check").output
    result = shipped.alembic(*REPAIR, "--applied", "b", "--yes")
    assert result.code == 1 and "nothing contradicts itself" in result.text


@pytest.mark.parametrize("option", ["--applied", "--not-applied"])
def test_an_answer_that_nobody_asked_for_is_refused(shipped: Project, option: str) -> None:
    before = everything(shipped)
    result = shipped.alembic(*REPAIR, option, "b", "--yes")
    assert result.code == 1
    assert f"nothing contradicts itself about {B} (b)" in result.text
    assert everything(shipped) == before


def test_an_answer_is_one_thing_only(shipped: Project) -> None:
    result = shipped.alembic(*REPAIR, "--applied", "b", "--not-applied", B)
    assert result.code == 1
    assert f"{B} (b) cannot be both" in result.text


# -- asked, locked, all or nothing ----------------------------------------------------------


def program() -> str:
    return str(Path(sys.executable).with_name("alembic"))


@pytest.mark.parametrize(("answer", "status"), [("y", "SUCCESS"), ("n", None), ("", None)])
def test_at_a_terminal_it_asks(shipped: Project, answer: str, status: str | None) -> None:
    shipped.query("DELETE FROM migrations WHERE migration_name = 'b'")
    code, shown = on_terminal(
        shipped, 100, program(), *REPAIR, answer=("Mend it? [y/N]: ", f"{answer}\n")
    )
    assert "no row → SUCCESS" in shown
    assert code == (0 if status else 6)
    assert shipped.ledger().get("b") == status


def test_it_waits_for_a_run_and_gives_up_like_one(shipped: Project, connect: Connect) -> None:
    assert not isinstance(shipped.url, str)
    shipped.configure(lock_wait="0")
    shipped.query("DELETE FROM migrations WHERE migration_name = 'b'")
    other = connect(shipped.url)
    other.cursor().execute("SELECT pg_advisory_lock(%s)", [lock_key("public")])
    before = everything(shipped)
    result = shipped.alembic(*REPAIR, "--yes")
    assert result.code == 4, result.text
    assert everything(shipped) == before


def test_all_is_mended_or_nothing(shipped: Project) -> None:
    shipped.query("DELETE FROM migrations WHERE migration_name IN ('a', 'b')")
    shipped.query(
        "ALTER TABLE migrations ADD CONSTRAINT no_b CHECK (migration_name <> 'b') NOT VALID"
    )
    before = everything(shipped)
    result = shipped.alembic(*REPAIR, "--yes")
    assert result.code == 1 and "no_b" in result.text
    assert everything(shipped) == before
