"""``check`` looks at the undo of what is pending, which nobody may ever have run."""

from __future__ import annotations

import pytest
from alembic import command
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from alembic_pgpipe.scratch.server import ScratchServer
from tests.conftest import Connect
from tests.project import Project, Result, _command_line
from tests.roles import new_role

TABLE = "CREATE TABLE public.{0} (id int);\n"
DROP = "DROP TABLE public.{0};\n"
FAILS = "this undo fails on a scratch server: "
LEAVES = (
    "this undo leaves something behind on a scratch server, so that what it undoes fails the "
    "next time: "
)
PYTHON = """revision = {0!r}
down_revision = {1!r}


def upgrade() -> None:
    pass


def downgrade() -> None:
    raise AssertionError("it has been undone")
"""

pytestmark = pytest.mark.usefixtures("shared_rehearsal")


def lines(result: Result) -> list[str]:
    """Return what was said, without excerpts and the list of what is pending."""
    left_out = ("  ", "pending: ")
    return [line for line in result.output.splitlines() if not line.startswith(left_out)]


def undoable(project: Project, **undos: str) -> None:
    """Write sources that create a table of their name, with their undo, and wrap them."""
    for name, undo in undos.items():
        project.source(name, TABLE.format(name), undo)
    project.ok("pgpipe", "wrap")


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Give how the kept server was moved, and where to."""
    seen: list[tuple[str, str]] = []
    # Alembic's command line asks each command for its arguments, once.
    _command_line()
    for name in ("upgrade", "downgrade"):
        move = getattr(command, name)

        def noted(config: object, to: str, name: str = name, move: object = move) -> None:
            seen.append((name, to))
            move(config, to)  # type: ignore[operator]

        monkeypatch.setattr(f"alembic_pgpipe.rehearsal.replay.command.{name}", noted)
    return seen


# --- what reading tells ---


@pytest.mark.parametrize(
    ("undo", "place", "said"),
    [
        ("DROP TABLE 'never closed;\n", "1:12", "this string"),
        (DROP.format("a") + "COMMIT;\n", "2:1", "COMMIT"),
        ("-- pgpipe: lock_timout = 5s\nSELECT 1;\n", "1:1", "did you mean lock_timeout"),
    ],
    ids=["string", "commit", "directive"],
)
def test_an_undo_that_may_not_run_is_a_problem(
    project: Project, undo: str, place: str, said: str
) -> None:
    undoable(project, a=undo)
    for options in (("--no-rehearsal",), ()):
        result = project.alembic("pgpipe", "check", *options)
        assert result.code == 6
        assert lines(result)[0].startswith(f"alembic/sql/a.down.sql:{place}: ")
        assert said in lines(result)[0]
    # An upgrade runs all the same; of what is applied, nothing is said any more.
    project.ok("upgrade", "head")
    project.ok("pgpipe", "check")


def test_the_undo_of_what_says_skip_is_not_looked_at(project: Project) -> None:
    undoable(project, a="COMMIT;\n")
    project.source("a", f"--skip\n{TABLE.format('a')}")
    project.ok("pgpipe", "check")


# --- what running tells ---


def test_a_failing_undo_is_a_problem(project: Project, moves: list[tuple[str, str]]) -> None:
    undoable(project, a=DROP.format("a"), b="SELECT 1;\n" + DROP.format("bb"))
    for _ in range(2):
        result = project.alembic("pgpipe", "check")
        assert result.code == 6
        assert lines(result) == [
            f'alembic/sql/b.down.sql:2:1: {FAILS}table "bb" does not exist (42P01)',
            "2 pending revisions run on a scratch server: 1 problem",
        ]
    # What was run before is still there.
    assert moves == [("upgrade", "heads"), ("downgrade", "base"), ("downgrade", "base")]
    moves.clear()
    project.source("b", TABLE.format("b"), DROP.format("b"))
    assert lines(project.ok("pgpipe", "check")) == [
        "2 pending revisions run on a scratch server: no problems"
    ]
    assert moves == [("downgrade", "base"), ("upgrade", "heads")]


def test_an_undo_that_leaves_something_behind_is_a_note(project: Project) -> None:
    undoable(project, a="SELECT 1;\n")
    note = lines(project.ok("pgpipe", "check"))[0]
    assert note == (
        f'note: alembic/sql/a.down.sql: {LEAVES}alembic/sql/a.sql:1:1: relation "a" already '
        "exists (42P07)"
    )


def test_an_undo_that_says_that_there_is_no_way_back_is_believed(project: Project) -> None:
    undoable(project, a="DO $$ BEGIN RAISE EXCEPTION 'no way back'; END $$;\n")
    assert lines(project.ok("pgpipe", "check")) == [
        "1 pending revision run on a scratch server: no problems"
    ]


def test_an_undo_is_not_blamed_for_what_only_the_real_database_has(project: Project) -> None:
    project.query("CREATE TABLE legacy (id int)")
    project.source(
        "a", "ALTER TABLE IF EXISTS legacy ADD x int;\n", "ALTER TABLE legacy DROP x;\n"
    )
    project.ok("pgpipe", "wrap")
    assert "legacy" in project.ok("pgpipe", "check").output
    project.query("DROP TABLE legacy")
    assert project.alembic("pgpipe", "check").code == 6


def test_an_undo_that_drops_a_role_by_a_wrong_name_is_a_problem(project: Project) -> None:
    with new_role(project, "by_hand_") as role:
        project.source(
            "a",
            f"CREATE ROLE {role}_2;\n",
            f"REVOKE CREATE ON SCHEMA public FROM {role};\nDROP ROLE {role}_2;\n",
        )
        project.ok("pgpipe", "wrap")
        assert lines(project.ok("pgpipe", "check"))[0].endswith(
            f"the history does not make role {role}, which the database has"
        )
        project.source("a", f"CREATE ROLE {role}_2;\n", f"DROP ROLE {role}_3;\n")
        problem = lines(project.alembic("pgpipe", "check"))[0]
    assert problem.startswith(f'alembic/sql/a.down.sql:1:1: {FAILS}role "{role}_3" does not')


def test_what_an_undo_has_half_done_does_not_stay(project: Project) -> None:
    undoable(project, a="-- pgpipe: transaction = off\n" + DROP.format("a") + "SELECT 1/0;\n")
    problem = lines(project.alembic("pgpipe", "check"))[0]
    assert problem == f"alembic/sql/a.down.sql:3:1: {FAILS}division by zero (22012)"
    # The kept server is at the head, and has the table.
    project.write("alembic/routines/v.sql", "CREATE VIEW public.v AS SELECT id FROM a;\n")
    assert lines(project.alembic("pgpipe", "check"))[1:] == [
        "1 pending revision and 1 changed routine file run on a scratch server: 1 problem"
    ]


@pytest.mark.parametrize(
    ("up", "down"),
    [
        ("CREATE ROLE {0};\n", "DROP ROLE {0};\n"),
        ("CREATE ROLE {0};\n", "ALTER ROLE {0} CREATEDB;\n"),
        ("CREATE ROLE {0};\nGRANT {0} TO pg_monitor;\n", "REVOKE {0} FROM pg_monitor;\n"),
        ("ALTER DATABASE {1} SET work_mem = '5MB';\n", "SELECT 1;\n"),
        ("REVOKE TEMPORARY ON DATABASE {1} FROM PUBLIC;\n", "SELECT 1;\n"),
    ],
    ids=["role", "attribute", "member", "setting", "right"],
)
def test_what_is_in_no_copy_of_a_database_is_made_anew(
    project: Project, moves: list[tuple[str, str]], up: str, down: str
) -> None:
    assert isinstance(project.url, URL)
    names = f"of_{project.scalar('SELECT pg_backend_pid()')}", project.url.database
    undo = f"-- pgpipe: transaction = off\n{down.format(*names)}SELECT 1/0;\n"
    project.source("a", up.format(*names), undo)
    project.ok("pgpipe", "wrap")
    for _ in range(2):
        problem = lines(project.alembic("pgpipe", "check"))[0]
        assert problem == f"alembic/sql/a.down.sql:3:1: {FAILS}division by zero (22012)"
    ahead = [("upgrade", "heads"), ("downgrade", "base"), ("upgrade", "heads")]
    assert moves == [*ahead, *ahead[1:]]


def test_what_an_undo_does_in_another_database_is_made_anew(
    project: Project, moves: list[tuple[str, str]]
) -> None:
    elsewhere = "-- pgpipe: database = postgres\n"
    refused = "DO $$ BEGIN RAISE EXCEPTION 'no way back'; END $$;\n"
    project.source("a", TABLE.format("a"), refused)
    up, down = TABLE.format("of_the_server"), DROP.format("IF EXISTS of_the_server")
    project.source("b", elsewhere + up, elsewhere + down.replace("public.", ""))
    project.ok("pgpipe", "wrap")
    for _ in range(2):
        project.ok("pgpipe", "check")
        assert moves[-2:] == [("downgrade", "base"), ("upgrade", "heads")]


def test_whoever_is_connected_keeps_no_undo_from_being_tried(
    project: Project, rehearsal_server: ScratchServer, connect: Connect
) -> None:
    assert isinstance(project.url, URL)
    undoable(project, a=DROP.format("a"))
    project.ok("pgpipe", "check")
    connect(rehearsal_server.url(str(project.url.database)))
    project.source("a", TABLE.format("a"), DROP.format("typo"))
    assert FAILS in project.alembic("pgpipe", "check").output


def test_no_copy_is_left_of_what_was_tried(
    project: Project, rehearsal_server: ScratchServer
) -> None:
    assert isinstance(project.url, URL)
    undoable(project, a=DROP.format("a"), b=DROP.format("typo"))
    project.alembic("pgpipe", "check")
    project.source("b", TABLE.format("b"), DROP.format("b"))
    project.ok("pgpipe", "check")
    there = Project(project.folder / "there", rehearsal_server.url())
    databases = there.query("SELECT datname FROM pg_database WHERE oid >= 16384")
    assert databases == [(project.url.database,)]


def test_an_undo_is_tried_once_and_anew_when_it_is_edited(
    project: Project, moves: list[tuple[str, str]]
) -> None:
    undoable(project, a=DROP.format("a"), b=DROP.format("b"))
    project.ok("pgpipe", "check")
    assert moves == [("upgrade", "heads"), ("downgrade", "base"), ("upgrade", "heads")]
    moves.clear()
    project.ok("pgpipe", "check")
    assert moves == []
    project.source("b", TABLE.format("b"), DROP.format("IF EXISTS b").replace("public.", ""))
    project.ok("pgpipe", "check")
    assert moves == [("downgrade", revision_id("a")), ("upgrade", "heads")]


def test_only_the_end_of_the_history_that_is_pending_is_undone(
    project: Project, moves: list[tuple[str, str]]
) -> None:
    undoable(project, a="SELECT 1/0;\n")
    project.ok("upgrade", "head")
    project.source("b", TABLE.format("b"), "SELECT 1/0;\n")
    project.source("c", TABLE.format("c"))
    undoable(project, d=DROP.format("d"), e=DROP.format("e"))
    project.ok("pgpipe", "check")
    assert moves[1:] == [("downgrade", revision_id("c")), ("upgrade", "heads")]
    # Nobody has asked for the undo of a Python revision.
    moves.clear()
    project.write("alembic/versions/p.py", PYTHON.format("p", revision_id("e")))
    project.ok("pgpipe", "check")
    assert moves == [("upgrade", "heads")]


def test_a_merge_ends_what_is_undone(project: Project, moves: list[tuple[str, str]]) -> None:
    for name in ("p1", "p2"):
        project.write(f"alembic/versions/{name}.py", PYTHON.format(name, None))
    merge = PYTHON.format("m", ("p1", "p2")).replace("raise AssertionError", "print")
    project.write("alembic/versions/m.py", merge)
    undoable(project, a=DROP.format("a"))
    project.ok("pgpipe", "check")
    assert moves[1:] == [("downgrade", "m"), ("upgrade", "heads")]
