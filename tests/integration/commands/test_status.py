"""``alembic pgpipe status``: where each revision stands, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from alembic.config import Config
from sqlalchemy import URL

from alembic_pgpipe.commands.status import status
from alembic_pgpipe.connect.connector import APPLICATION
from alembic_pgpipe.connect.lock import lock_key
from alembic_pgpipe.ledger.reading import Reading
from alembic_pgpipe.model import Revision
from alembic_pgpipe.render.terminal import status_table
from alembic_pgpipe.revisions.wrapper import revision_id
from tests.conftest import Connect
from tests.project import Project
from tests.roles import new_role

TABLE = "CREATE TABLE public.{0} (id int);\n"
LONG = "20260101_1200_give_every_customer_a_loyalty_card_and_ten_points"


def mixed(project: Project) -> Project:
    """Leave a revision in each of SUCCESS, SKIPPED, ERROR and WAITING."""
    project.wrapped(**{"a1": TABLE.format("a"), LONG: "SELECT 1;\n"})
    project.ok("pgpipe", "skip", LONG, "--reason", "the cards are not printed yet " * 8)
    project.wrapped(z2="SELECT 1/0;\n", z3=TABLE.format("b"))
    assert project.upgrade().code == 1
    return project


def states(project: Project, *options: str) -> dict[str, dict[str, Any]]:
    report = json.loads(project.ok("pgpipe", "status", "--json", *options).output)
    return {state["name"]: state for state in report["revisions"]}


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_table_fits_the_terminal(project: Project, width: int) -> None:
    mixed(project)
    config = Config(str(project.folder / "alembic.ini"))
    _, *table = status_table(status(config), width).splitlines()
    rows = table[: table.index("1 WAITING, 1 SUCCESS, 1 ERROR, 1 SKIPPED")]
    assert max(map(len, rows)) <= width
    assert ("build" in rows[0]) == (width > 80), "a narrow table leaves room for the names"
    text = "\n".join(rows)
    for name in ("a1", LONG, "z2", "z3"):
        assert revision_id(name) in text
    for word in ("SUCCESS", "SKIPPED", "ERROR", "WAITING"):
        assert word in text.split()


def test_the_table_says_what_to_do_next(project: Project) -> None:
    output = mixed(project).ok("pgpipe", "status").output
    failed = revision_id("z2")
    way = f"next: edit alembic/sql/z2.sql and run again, or: alembic pgpipe retry {failed}"
    assert way in output
    project.ok("pgpipe", "retry", "z2")
    assert project.ok("pgpipe", "status").output.endswith("next: alembic upgrade head\n")


def test_json_holds_everything_that_is_known(project: Project) -> None:
    found = states(mixed(project))
    assert {name: state["status"] for name, state in found.items()} == {
        "a1": "SUCCESS", LONG: "SKIPPED", "z2": "ERROR", "z3": "WAITING",
    }  # fmt: skip
    assert found["a1"]["applied"] is True and found["a1"]["build_number"] == "local_run"
    assert found["a1"]["source"] == "a1.sql" and found["a1"]["at"]
    assert found[LONG]["reason"].startswith("the cards") and "@" in found[LONG]["who"]
    assert "22012" in found["z2"]["logs"]
    assert found["z3"]["applied"] is False and found["z3"]["at"] is not None


def test_the_latest_are_shown_unless_all_are_wanted(project: Project) -> None:
    mixed(project)
    output = project.ok("pgpipe", "status", "--last", "2").output
    assert "2 earlier revisions are not shown (--all)" in output
    assert revision_id("z3") in output and revision_id("a1") not in output
    assert len(states(project, "--last", "2")) == 2
    assert len(states(project, "--all")) == 4


@pytest.mark.parametrize("status", ["ERROR", "RUNNING", "RETRY"])
@pytest.mark.parametrize("id_", ["id", "'c0ffee'"])
def test_what_is_left_to_do_is_shown_however_far_back(
    project: Project, status: str, id_: str
) -> None:
    project.wrapped(**{f"a{number}": "SELECT 1;\n" for number in range(5)})
    project.ok("pgpipe", "skip", "a1", "--reason", "it is old")
    project.ok("upgrade", "head")
    change = "UPDATE migrations SET applied_status = %s, id = {} WHERE migration_name = 'a1'"
    project.query(change.format(id_), status)
    assert list(states(project, "--last", "2")) == ["a1", "a3", "a4"]
    output = project.ok("pgpipe", "status", "--last", "2").output
    assert "2 earlier revisions are not shown (--all)" in output
    assert f"1 {status}" in output and "2 SUCCESS" in output
    assert (f"alembic pgpipe retry {revision_id('a1')}" in output) == (status == "ERROR")


def test_what_is_skipped_ahead_is_shown_until_a_run_passes_it(project: Project) -> None:
    project.wrapped(**{f"a{number}": "SELECT 1;\n" for number in range(4)})
    project.ok("pgpipe", "skip", "a1", "--reason", "it is old")
    assert list(states(project, "--last", "1")) == ["a1", "a3"]
    project.ok("upgrade", "head")
    assert list(states(project, "--last", "1")) == ["a3"]


def test_rows_of_revisions_that_are_gone_are_passed_over(project: Project) -> None:
    project.wrapped(**{f"a{number}": "SELECT 1;\n" for number in range(3)})
    project.ok("upgrade", "head")
    again = (
        "INSERT INTO migrations (id, migration_name, applied_status) VALUES (%s, %s, 'ERROR')"
    )
    project.query(again, "d0d0", "gone")
    # Of two rows under one name, the one that says SUCCESS counts.
    project.query("UPDATE migrations SET id = 'b0b0' WHERE migration_name = 'a0'")
    project.query(again, "b1b1", "a0")
    assert list(states(project, "--last", "1")) == ["a2"]


def test_no_more_is_read_than_is_shown(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.wrapped(**{f"a{number}": "SELECT 1;\n" for number in range(9)})
    project.ok("upgrade", "head")
    project.query("UPDATE migrations SET applied_status = 'ERROR' WHERE migration_name = 'a1'")
    asked: list[list[str]] = []
    rows = Reading.rows

    def noted(self: Reading, of: Iterable[Revision] | None = None) -> Any:
        asked.append([] if of is None else [one.name for one in of])
        return rows(self, of)

    monkeypatch.setattr(Reading, "rows", noted)
    assert list(states(project, "--last", "2")) == ["a1", "a7", "a8"]
    assert asked == [["a1", "a7", "a8"]]


def test_an_applied_source_that_was_edited_is_named(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"))
    project.ok("upgrade", "head")
    project.source("a1", TABLE.format("other"))
    note = "its source differs from what build local_run applied"
    assert note in project.ok("pgpipe", "status").output
    assert states(project)["a1"]["notes"] == [note]


def test_a_run_that_is_at_work_is_named(project: Project, connect: Connect) -> None:
    project.wrapped(a1=TABLE.format("a"))
    assert isinstance(project.url, URL)
    with connect(project.url).cursor() as run:
        run.execute("SET application_name = %s", (f"{APPLICATION} 41",))
        run.execute("SELECT pg_advisory_lock(%s)", (lock_key("public"),))
        output = project.ok("pgpipe", "status").output
        assert "a run is at work: build 41 (server process " in output
        run.execute("SELECT pg_advisory_unlock_all()")
        assert "a run is at work" not in project.ok("pgpipe", "status").output


def running(project: Project) -> Project:
    """Leave one revision that is RUNNING and has not been reached."""
    project.wrapped(a1=TABLE.format("a"))
    project.ok("upgrade", "head")
    project.wrapped(a2="SELECT 1;\n")
    project.ok("pgpipe", "skip", "a2", "--reason", "so that it has a row")
    project.query("UPDATE migrations SET applied_status = 'RUNNING' WHERE id <> %s", first())
    return project


def first() -> str:
    return revision_id("a1")


DIED = "its run died; the next 'alembic upgrade head' goes on with it"


def test_what_a_dead_run_left_is_gone_on_with(project: Project) -> None:
    output = running(project).ok("pgpipe", "status").output
    assert DIED in output
    assert output.endswith("1 RUNNING, 1 SUCCESS\nnext: alembic upgrade head\n")


@pytest.mark.parametrize("directive", ["--retry", "--skip"])
def test_what_its_source_has_decided_is_next_a_run(project: Project, directive: str) -> None:
    project.wrapped(a="COMMIT;\n")
    assert project.upgrade().code == 1
    project.source("a", f"{directive}\nCOMMIT;\n")
    assert project.ok("pgpipe", "status").output.endswith("next: alembic upgrade head\n")


def test_no_retry_is_next_of_a_file_that_cannot_run(project: Project) -> None:
    project.wrapped(a="SELECT 1/0;\n")
    assert project.upgrade().code == 1
    project.source("a", "SELECT 'open;\n")
    assert project.upgrade().code == 1
    output = project.ok("pgpipe", "status").output
    assert "next: edit alembic/sql/a.sql and run again, or: alembic pgpipe skip" in output
    assert "pgpipe retry" not in output


def test_two_heads_are_to_be_joined_first(project: Project) -> None:
    project.wrapped(a="SELECT 1;\n")
    project.ok("pgpipe", "wrap")
    for name in ("b", "c"):
        project.ok("revision", "-m", name, "--head", revision_id("a"), "--splice")
        project.source(name, "SELECT 1;\n")
    output = project.ok("pgpipe", "status").output
    assert output.endswith("next: alembic pgpipe wrap --merge\n")


def test_while_a_run_is_at_work_nothing_is_next(project: Project, connect: Connect) -> None:
    running(project)
    assert isinstance(project.url, URL)
    with connect(project.url).cursor() as run:
        run.execute("SELECT pg_advisory_lock(%s)", (lock_key("public"),))
        output = project.ok("pgpipe", "status").output
    assert "a run is at work" in output and DIED not in output
    assert output.endswith("1 RUNNING, 1 SUCCESS\n")


def test_what_is_retried_behind_the_head_is_next(project: Project) -> None:
    project.wrapped(a1="SELECT 1;\n", a2="SELECT 1;\n")
    project.ok("pgpipe", "skip", "a1", "--reason", "not yet")
    project.ok("upgrade", "head")
    assert "next:" not in project.ok("pgpipe", "status").output
    project.ok("pgpipe", "retry", "a1")
    assert project.ok("pgpipe", "status").output.endswith("next: alembic upgrade head\n")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE alembic_version SET version_num = '{0}'",
        "INSERT INTO alembic_version VALUES ('{0}')",
        "DELETE FROM migrations WHERE id = '{1}'",
        "UPDATE migrations SET applied_status = 'ERROR' WHERE id = '{1}'",
    ],
)
def test_a_contradiction_leads_to_check(
    project: Project, connect: Connect, change: str
) -> None:
    project.wrapped(a1=TABLE.format("a"), a2="SELECT 1;\n")
    project.ok("upgrade", "head")
    assert json.loads(project.ok("pgpipe", "status", "--json").output)["agrees"] is True
    project.query(change.format(first(), revision_id("a2")))
    advice = (
        "alembic_version and the ledger contradict each other\nnext: alembic pgpipe check\n"
    )
    output = project.ok("pgpipe", "status").output
    assert output.endswith(advice) and "alembic upgrade head" not in output
    assert json.loads(project.ok("pgpipe", "status", "--json").output)["agrees"] is False
    assert isinstance(project.url, URL)
    with connect(project.url).cursor() as run:
        run.execute("SELECT pg_advisory_lock(%s)", (lock_key("public"),))
        assert "contradict" not in project.ok("pgpipe", "status").output


def test_a_new_project_is_told_how_to_begin(project: Project) -> None:
    output = project.ok("pgpipe", "status").output
    assert "no revisions: alembic pgpipe wrap writes them" in output


def test_status_creates_nothing(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"))
    assert "1 WAITING" in project.ok("pgpipe", "status").output
    relations = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert project.query(relations) == []


@pytest.fixture
def role(project: Project) -> Iterator[str]:
    """Give a login that may read what is granted to it, and no more."""
    with new_role(project, "looker_", "LOGIN") as name:
        yield name


def test_whoever_may_only_look_needs_no_builds_logs(
    project: Project, shipper: Project, role: str
) -> None:
    project.wrapped(a1=TABLE.format("a"))
    project.ok("upgrade", "head")
    project.query(f"GRANT SELECT ON migrations, migration_attempts, alembic_version TO {role}")
    shipper.source("a1", TABLE.format("a"))
    shipper.ok("pgpipe", "wrap")
    assert "1 SUCCESS" in shipper.ok("pgpipe", "status").output
    shipper.ok("pgpipe", "check", "--no-rehearsal")
    assert "agree" in shipper.ok("pgpipe", "repair").output
