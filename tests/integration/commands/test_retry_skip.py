"""``alembic pgpipe retry`` and ``skip``: how to name, what is refused, what is kept."""

from __future__ import annotations

import getpass

import pytest

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project

TABLE = "CREATE TABLE public.{0} (id int);\n"
A2 = revision_id("a2")
SKIP = ("pgpipe", "skip", "--reason", "not needed")
RETRY = ("pgpipe", "retry")


def failed(project: Project) -> Project:
    """Let a2 of a1, a2, a3 fail."""
    project.wrapped(a1=TABLE.format("a"), a2="SELECT 1/0;\n", a3=TABLE.format("c"))
    assert project.upgrade().code == 1
    return project


def several_failed(project: Project) -> None:
    """Let three revisions fail: a plain one, one with --retry, one with --skip."""
    project.wrapped(plain="COMMIT;\n", marked="COMMIT;\n", passed="COMMIT;\n")
    assert project.upgrade().code == 1
    project.source("marked", "--retry\nCOMMIT;\n")
    project.source("passed", "--skip\nCOMMIT;\n")
    assert set(project.ledger().values()) == {"ERROR"}


# -- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [RETRY, SKIP])
@pytest.mark.parametrize("name", [A2, A2[:4], "a2", "a2.sql", f"alembic/versions/{A2}_a2.py"])
def test_a_revision_goes_by_id_prefix_source_or_file(
    project: Project, command: tuple[str, ...], name: str
) -> None:
    failed(project).ok(*command, name)
    goal = "RETRY" if command is RETRY else "SKIPPED"
    assert project.ledger() == {"a1": "SUCCESS", "a2": goal, "a3": "WAITING"}


def python(project: Project, *ids: str) -> None:
    """Write Python revisions, one behind the other."""
    for before, id_ in zip((None, *ids), ids, strict=False):
        text = f"revision, down_revision = {id_!r}, {before!r}\n"
        project.write(f"alembic/versions/py_{id_}.py", text)


def test_an_ambiguous_prefix_names_the_candidates(project: Project) -> None:
    python(project, "abc1", "abc2", "ab")
    result = project.alembic(*SKIP, "abc")
    assert result.code == 1
    assert "'abc' may be any of abc1 (py_abc1), abc2 (py_abc2). Type more" in result.text
    project.ok(*SKIP, "ab")
    assert project.ledger() == {"py_ab": "SKIPPED"}


@pytest.mark.parametrize("command", [RETRY, SKIP])
def test_an_unknown_name_names_the_nearest(project: Project, command: tuple[str, ...]) -> None:
    project.wrapped(loyalty="SELECT 1;\n")
    result = project.alembic(*command, "loyality")
    assert result.code == 1
    meant = f"{revision_id('loyalty')} (loyalty)"
    assert f"No revision goes by 'loyality'. Did you mean {meant}?" in result.text
    assert "alembic pgpipe status --all" in result.text


# -- which ones --------------------------------------------------------------------------------


def test_retry_without_names_marks_what_failed_unless_it_says_skip(project: Project) -> None:
    several_failed(project)
    output = project.ok(*RETRY).output
    assert project.ledger() == {"plain": "RETRY", "marked": "RETRY", "passed": "ERROR"}
    assert "plain: ERROR → RETRY" in output and "next: alembic upgrade head" in output


def test_retry_marked_marks_only_what_says_retry(project: Project) -> None:
    several_failed(project)
    project.ok(*RETRY, "--marked")
    assert project.ledger() == {"plain": "ERROR", "marked": "RETRY", "passed": "ERROR"}


@pytest.mark.parametrize("status", ["WAITING", "ROLLED_BACK"])
def test_what_only_its_source_skips_is_to_lose_that(project: Project, status: str) -> None:
    failed(project)
    project.query("UPDATE migrations SET applied_status=%s WHERE migration_name='a2'", status)
    project.source("a2", "--skip\nSELECT 1;\n")
    result = project.alembic(*RETRY, "a2")
    assert result.code == 1
    assert "its source says --skip; take that out" in result.text


def test_a_skip_that_comes_behind_a_marked_retry_counts(project: Project) -> None:
    project.wrapped(a="--retry\nCOMMIT;\n")
    assert project.upgrade().code == 1
    project.ok(*RETRY, "--marked")
    project.source("a", "--skip\nCREATE TABLE danger ();\n")
    assert "its source says --skip" in project.ok("upgrade", "head").output
    assert project.scalar("SELECT to_regclass('danger')") is None
    assert project.ledger() == {"a": "SKIPPED"}


@pytest.mark.parametrize("options", [(), ("--marked",)])
def test_retry_with_nothing_to_mark_is_no_error(
    project: Project, options: tuple[str, ...]
) -> None:
    project.wrapped(a1=TABLE.format("a"))
    assert project.ok(*RETRY, *options).output == "nothing to mark\n"
    assert project.scalar("SELECT to_regclass('public.migrations')") is None


# -- refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "status", "why"),
    [
        (RETRY, "WAITING", "it has not failed"),
        (RETRY, "RUNNING", "a run is at it now"),
        (RETRY, "SUCCESS", "'alembic downgrade' would undo it"),
        (RETRY, "RETRY", "it is marked already"),
        (RETRY, "ROLLED_BACK", "applies it again"),
        (SKIP, "SUCCESS", "'alembic downgrade' would undo it"),
        (SKIP, "SKIPPED", "it is skipped already"),
    ],
)
def test_what_the_state_table_does_not_know_is_refused_with_the_reason(
    project: Project, command: tuple[str, ...], status: str, why: str
) -> None:
    failed(project)
    project.query("UPDATE migrations SET applied_status=%s WHERE migration_name='a2'", status)
    attempts = project.query("SELECT * FROM migration_attempts")
    result = project.alembic(*command, "a2")
    assert result.code == 1
    assert f"Nothing was changed: {A2} (a2) is {status}: " in result.text
    assert why in result.text
    assert project.ledger()["a2"] == status
    assert project.query("SELECT * FROM migration_attempts") == attempts


def test_all_are_changed_or_none(project: Project) -> None:
    failed(project)
    result = project.alembic(*SKIP, "a1", "a2", "a3")
    assert result.code == 1
    assert project.ledger() == {"a1": "SUCCESS", "a2": "ERROR", "a3": "WAITING"}
    project.ok(*SKIP, "a2", "a3", A2)
    assert project.ledger() == {"a1": "SUCCESS", "a2": "SKIPPED", "a3": "SKIPPED"}
    assert project.outcomes("a2")[1:] == [("upgrade", "SKIPPED")]


def test_a_skip_without_a_reason_is_refused(project: Project) -> None:
    failed(project)
    assert project.alembic("pgpipe", "skip", "a2").code == 2
    assert "needs a reason" in project.alembic("pgpipe", "skip", "a2", "--reason", " ").text
    assert project.ledger()["a2"] == "ERROR"


# -- kept --------------------------------------------------------------------------------------


def test_who_and_why_are_kept(project: Project) -> None:
    failed(project)
    ci = {"GITHUB_RUN_NUMBER": "7", "GITHUB_RUN_ID": "907", "GITHUB_ACTOR": "mona"}
    reason = "it's 100 % sure; {} :x"
    project.ok("pgpipe", "skip", "a2", "--reason", reason, env=ci)
    project.ok("pgpipe", "retry", "a2", "--reason", "now")
    kept = project.query(
        "SELECT outcome, who, reason, build_number FROM migration_attempts "
        "WHERE revision = %s AND outcome <> 'ERROR' ORDER BY id",
        A2,
    )
    assert kept[0] == ("SKIPPED", "mona", reason, "7")
    assert kept[1][0] == "RETRY" and kept[1][2:] == ("now", "local_run")
    assert kept[1][1].startswith(f"{getpass.getuser()}@")


def test_the_error_stays_readable_after_the_decision(project: Project) -> None:
    failed(project).ok(*SKIP, "a2")
    assert "22012" in project.scalar("SELECT logs FROM migrations WHERE migration_name = 'a2'")


def test_a_skip_before_the_first_run_makes_the_ledger(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"))
    project.ok(*SKIP, "a1")
    assert project.ledger() == {"a1": "SKIPPED"}
    project.ok("upgrade", "head")
    assert project.scalar("SELECT to_regclass('public.a')") is None


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("skip", "a1", "--reason", "caf\udce9"), "--reason"),
        (("retry", "a1", "--reason", "caf\udce9"), "--reason"),
        (("log", "caf\udce9"), "[BUILD]"),
    ],
    ids=["skip", "retry", "log"],
)
def test_bytes_that_are_no_text_are_a_usage_error(
    project: Project, arguments: tuple[str, ...], name: str
) -> None:
    project.wrapped(a1="SELECT 1;\n")
    project.ok("upgrade", "head")
    result = project.alembic("pgpipe", *arguments)
    assert result.code == 2, result.text
    assert f"Invalid value for '{name}': 'caf\\udce9' is not UTF-8" in result.errors
    assert "Traceback" not in result.text
