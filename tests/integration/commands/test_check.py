"""``alembic pgpipe check``: what is wrong, before anything runs; it only reads."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project, Result

pytestmark = pytest.mark.usefixtures("shared_rehearsal")

TABLE = "CREATE TABLE public.{0} (id int);\n"
ALONE = "is only a comment; --{} stands alone on the first line"
WRITTEN = "is only a comment; a directive is written"


def problems(result: Result) -> list[str]:
    """Expect exit code 6; return the findings."""
    assert result.code == 6, result.text
    found = result.output.splitlines()[:-1]
    return [line for line in found if not line.startswith(("note: ", "pending: ", "  "))]


def last_line(result: Result) -> str:
    """Return how all of it went."""
    return result.output.splitlines()[-1]


def test_check_finds_nothing_wrong(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"))
    assert last_line(project.ok("pgpipe", "check")) == (
        "2 pending revisions run on a scratch server: no problems"
    )
    project.ok("upgrade", "head")
    assert project.ok("pgpipe", "check").output == "nothing is pending: no problems\n"


def test_check_tells_what_was_run_from_what_was_only_read(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"), a2="SELECT 1/0;\n", a3=TABLE.format("c"))
    project.write("alembic/routines/v.sql", "CREATE VIEW public.v AS SELECT 1 AS one;\n")
    both = "pending revisions and {}1 changed routine file"
    assert last_line(project.ok("pgpipe", "check", "--no-rehearsal")) == (
        f"3 {both.format('')} read, not run: no problems"
    )
    assert last_line(project.alembic("pgpipe", "check")) == (
        f"2 of 3 {both.format('0 of ')} run on a scratch server: 1 problem"
    )


def test_check_tells_a_program_what_is_pending_and_where_it_ran(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"))
    found = json.loads(project.ok("pgpipe", "check", "--json").output)
    assert [one["name"] for one in found["pending"]] == ["a1", "a2"]
    assert found["pending"][0]["source"] == "a1.sql"
    assert (found["problems"], found["notes"]) == ([], [])
    assert found["run"] == {"where": "scratch", "revisions": 2, "changed_routines": 0}
    read = json.loads(project.ok("pgpipe", "check", "--no-rehearsal", "--json").output)
    assert read["run"] is None and len(read["pending"]) == 2


SKIPPED = "its source says --skip · passed over"


def test_check_counts_no_source_that_says_skip_among_what_runs(project: Project) -> None:
    project.wrapped(
        a1=f"--skip\n{TABLE.format('a')}",
        a2=TABLE.format("b"),
        a3="SELECT 1/0;\n",
        a4="SELECT 1;\n",
    )
    result = project.alembic("pgpipe", "check")
    a1, a2, *_ = [one for one in result.output.splitlines() if one.startswith("pending: ")]
    assert a1 == f"pending: {revision_id('a1')} a1 · {SKIPPED}"
    assert a2 == f"pending: {revision_id('a2')} a2"
    assert last_line(result) == "2 of 3 pending revisions run on a scratch server: 1 problem"
    assert last_line(project.ok("pgpipe", "check", "--no-rehearsal")) == (
        "3 pending revisions read, not run: no problems"
    )
    told = json.loads(project.alembic("pgpipe", "check", "--json").output)
    assert [one["passed_over"] for one in told["pending"]] == [True, False, False, False]
    assert told["run"] == {"where": "scratch", "revisions": 2, "changed_routines": 0}
    project.source("a3", "SELECT 1;\n")
    assert last_line(project.ok("pgpipe", "check")) == (
        "3 pending revisions run on a scratch server: no problems"
    )


@pytest.mark.parametrize("option", [(), ("--no-rehearsal",)])
def test_check_says_that_nothing_runs_where_all_sources_say_skip(
    project: Project, option: tuple[str, ...]
) -> None:
    project.wrapped(a1=f"--skip\n{TABLE.format('a')}")
    said = project.ok("pgpipe", "check", *option).output.splitlines()
    assert said == [
        f"pending: {revision_id('a1')} a1 · {SKIPPED}",
        "nothing that is pending runs: no problems",
    ]
    told = json.loads(project.ok("pgpipe", "check", *option, "--json").output)
    assert told["run"] is None and len(told["pending"]) == 1
    assert "its source says --skip" in project.ok("upgrade", "head").output


def test_check_says_that_a_retried_source_that_says_skip_is_not_tried(
    project: Project,
) -> None:
    project.wrapped(a1="SELECT 1/0;\n")
    assert project.upgrade().code == 1
    project.ok("pgpipe", "retry", "a1")
    project.source("a1", f"--skip\n{TABLE.format('a')}")
    output = project.ok("pgpipe", "check").output
    assert "(a1) is to run, for somebody asked to retry it, and is not rehearsed" in output
    assert "1 pending revision read, not run: no problems" in output


def test_check_tries_routines_behind_a_source_that_says_skip(project: Project) -> None:
    project.wrapped(a1=f"--skip\n{TABLE.format('a')}")
    project.write("alembic/routines/v.sql", "CREATE VIEW public.v AS SELECT 1 AS one;\n")
    assert last_line(project.ok("pgpipe", "check")) == (
        "1 changed routine file run on a scratch server: no problems"
    )


def test_check_does_not_call_passed_over_what_a_person_has_asked_for(project: Project) -> None:
    project.wrapped(a1=FAILING, a2=TABLE.format("b"))
    assert project.upgrade().code == 1
    project.ok("pgpipe", "retry", "a1")
    project.source("a1", f"--skip\n{TABLE.format('a')}")
    result = project.ok("pgpipe", "check")
    assert SKIPPED not in result.output
    # An upgrade runs it, but a rehearsal does not know who has asked.
    assert last_line(result) == (
        "1 of 2 pending revisions run on a scratch server: no problems"
    )
    project.ok("upgrade", "head")
    assert project.ledger() == {"a1": "SUCCESS", "a2": "SUCCESS"}


def test_check_tells_a_program_each_problem_with_its_place(project: Project) -> None:
    project.options["log_file"] = "migration.log"
    project.wrapped(a1="SELECT 1;\n  COMMIT;\n")
    result = project.alembic("pgpipe", "check", "--json", env={"CI": "true"})
    assert result.code == 6 and result.errors == ""
    [problem] = json.loads(result.output)["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == ("alembic/sql/a1.sql", 2, 3)
    assert "COMMIT" in problem["message"] and problem["excerpt"][-1].endswith("|   ^")
    # The build's log keeps what people read.
    kept = (project.folder / "migration.log").read_text()
    assert "alembic/sql/a1.sql:2:3: " in kept and '"problems"' not in kept


def test_a_password_in_a_file_is_hidden_from_programs_as_well(project: Project) -> None:
    project.wrapped(a1="SELECT 'pass\\\"word\n")
    told = project.alembic("pgpipe", "check", "--json", env={"PGPASSWORD": 'pass\\"word'})
    assert told.code == 6 and "word" not in json.loads(told.output)["problems"][0]["excerpt"][0]


def test_check_names_what_is_pending_in_the_order_of_a_run(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"))
    project.ok("upgrade", "head")
    project.wrapped(a2=TABLE.format("b"), a3=TABLE.format("c"))
    output = project.ok("pgpipe", "check", "--no-rehearsal").output
    assert output.splitlines()[:-1] == [
        f"pending: {revision_id(name)} {name}" for name in ("a2", "a3")
    ]
    project.wrapped(**{f"b{n}": "SELECT 1;\n" for n in range(30)})
    named = project.ok("pgpipe", "check", "--no-rehearsal").output.splitlines()[:-1]
    assert named[19:] == [f"pending: {revision_id('b17')} b17", "pending: … and 12 more"]


def test_check_notes_a_source_that_nobody_has_written_yet(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"), a2="-- add b\n")
    said = "alembic/sql/a2.sql holds no statement yet; once it is applied, none can be added"
    assert project.ok("pgpipe", "check").output.count(f"note: {said}") == 1
    project.ok("upgrade", "head")
    assert "holds no statement" not in project.ok("pgpipe", "check").output


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("-- a\n--skip\n", "2: --skip is only a comment here; it counts on the first line"),
        ("--skip until May\n", f"1: --skip until May {ALONE.format('skip')}"),
        ("--Retry --skip\n", f"1: --Retry --skip {ALONE.format('retry')}"),
        ("--skipp\n", f"1: --skipp {ALONE.format('skip')}"),
        ("-- skip locked rows, retry later\n", None),
        ("-- pgpipe role = x\n", f"1: -- pgpipe role = x {WRITTEN} -- pgpipe: key = value"),
        ("--MSSDATABASE: b\n", f"1: --MSSDATABASE: b {WRITTEN} --MSSDATABASE=NAME"),
        ("--retry\n-- pgpipe: lock_timeout = 5s\n-- pgpipe runs this\n", None),
    ],
)
def test_check_notes_a_comment_that_is_nearly_a_directive(
    project: Project, text: str, note: str | None
) -> None:
    project.wrapped(a1=text + TABLE.format("a"))
    notes = [f"note: alembic/sql/a1.sql:{note}"] if note else []
    said = project.ok("pgpipe", "check").output.splitlines()[:-1]
    assert [line for line in said if not line.startswith("pending: ")] == notes
    project.ok("upgrade", "head")
    assert "note" not in project.ok("pgpipe", "check").output


def test_check_does_not_offer_to_retry_what_may_not_run_as_it_is(project: Project) -> None:
    project.wrapped(a1="SELECT 'never closed;\n")
    project.alembic("upgrade", "head")
    output = project.alembic("pgpipe", "check").output
    assert "failed and holds the next run: edit alembic/sql/a1.sql and run again, or:" in output
    assert "pgpipe retry" not in output


def test_check_names_file_line_and_column_of_every_problem(project: Project) -> None:
    project.wrapped(
        a1="SELECT 1;\n  COMMIT;\n",
        a2="-- pgpipe: lock_timout = 5s\nSELECT 1;\n",
        a3="SELECT 'never closed;\n",
        a4="BEGIN;\nVACUUM;\nCOMMIT;\n",
        a5=TABLE.format("fine"),
    )
    result = project.alembic("pgpipe", "check")
    found = problems(result)
    assert [line.split(": ")[0] for line in found] == [
        "alembic/sql/a1.sql:2:3",
        "alembic/sql/a2.sql:1:1",
        "alembic/sql/a3.sql:1:8",
        "alembic/sql/a4.sql:2:1",
    ]
    assert "did you mean lock_timeout" in found[1]
    assert last_line(result) == "5 pending revisions read, not run: 4 problems"


def test_check_names_sources_without_a_wrapper_and_two_heads(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"))
    project.source("a2", TABLE.format("b"))
    project.write("alembic/versions/other.py", 'revision, down_revision = "other", None\n')
    found = problems(project.alembic("pgpipe", "check"))
    assert len(found) == 2
    assert "The history has 2 heads" in found[0] and "wrap --merge" in found[0]
    assert found[1].startswith("alembic/sql/a2.sql: has no wrapper")


def test_check_names_what_was_edited_after_it_was_applied(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"))
    project.ok("upgrade", "head")
    project.source("a1", TABLE.format("other"))
    (project.folder / "alembic/sql/a2.sql").unlink()
    first, second = problems(project.alembic("pgpipe", "check"))
    assert first.startswith("alembic/sql/a1.sql: its source differs from what build local_run")
    assert second.startswith("alembic/sql/a2.sql: its source is gone")


def test_check_takes_no_edit_of_comments_in_the_header_for_one(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"))
    project.ok("upgrade", "head")
    project.source("a1", f"--retry\r\n-- pgpipe: lock_timeout = 1s\r\n{TABLE.format('a')}")
    project.ok("pgpipe", "check")


def test_check_passes_over_what_is_skipped(project: Project) -> None:
    project.wrapped(a1="COMMIT;\n")
    project.ok("pgpipe", "skip", "a1", "--reason", "not now")
    project.ok("pgpipe", "check")


def test_check_looks_at_what_a_retry_would_run_out_of_order(project: Project) -> None:
    project.wrapped(a1="COMMIT;\n", a2=TABLE.format("b"))
    project.ok("pgpipe", "skip", "a1", "--reason", "not now")
    project.ok("upgrade", "head")
    project.ok("pgpipe", "retry", "a1")
    assert "a1.sql:1:1" in problems(project.alembic("pgpipe", "check"))[0]


FAILING = "SELECT 1 / 0;\n"


def notes(project: Project) -> list[str]:
    """Return the notes of a check that finds no problem."""
    output = project.ok("pgpipe", "check", "--no-rehearsal").output
    return [line for line in output.splitlines() if line.startswith("note: ")]


def test_check_notes_what_holds_the_next_run(project: Project) -> None:
    project.wrapped(a1=FAILING, a2="SELECT 1;\n")
    assert project.upgrade().code == 1
    id_ = revision_id("a1")
    (note,) = notes(project)
    assert note == (
        f"note: {id_} (a1) failed and holds the next run: edit alembic/sql/a1.sql and run "
        f'again, or: alembic pgpipe retry {id_}, or: alembic pgpipe skip {id_} --reason "…"'
    )
    assert "Nothing was run" in project.upgrade().text


@pytest.mark.parametrize(
    ("text", "option"),
    [("SELECT 1;\n", {}), (f"--retry\n{FAILING}", {}), (FAILING, {"retry_failed": "always"})],
    ids=["edited", "marked", "always"],
)
def test_check_notes_nothing_that_is_decided(
    project: Project, text: str, option: dict[str, str]
) -> None:
    project.wrapped(a1=FAILING)
    assert project.upgrade().code == 1
    project.source("a1", text)
    project.configure(**option)
    assert notes(project) == []
    assert "Nothing was run" not in project.upgrade().text


def test_check_advises_no_retry_of_what_contradicts_itself(project: Project) -> None:
    project.wrapped(a1="SELECT 1;\n")
    project.ok("upgrade", "head")
    project.query("UPDATE migrations SET applied_status = 'ERROR'")
    assert "retry" not in project.alembic("pgpipe", "check", "--no-rehearsal").output


def test_check_creates_nothing(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"), a2="COMMIT;\n")
    problems(project.alembic("pgpipe", "check"))
    relations = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert project.query(relations) == []
    assert not (project.folder / "migration.log").exists()


def test_check_needs_no_right_to_write(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"))
    read_only = {"PGOPTIONS": "-c default_transaction_read_only=on"}
    for _ in range(2):
        assert project.alembic("pgpipe", "check", env=read_only).code == 0
        project.ok("upgrade", revision_id("a1"))


# -- the server ------------------------------------------------------------------------------


@pytest.fixture
def reader(project: Project) -> Iterator[Project]:
    """Give a project whose user may connect, and no more."""
    admin = project.url
    assert isinstance(admin, URL)
    user = f"reader_{admin.database}"
    project.query(f"CREATE ROLE {user} LOGIN")
    project.url = admin.set(username=user)
    project.configure()
    yield project
    project.url = admin
    project.query(f"DROP OWNED BY {user}; DROP ROLE {user}")


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("{}SELECT 1;\n--MSSDATABASE=nowhere\n", "database 'nowhere'"),
        ("-- pgpipe: role = nobody\n{}SELECT 1;\n", "role 'nobody'"),
    ],
    ids=["database", "role"],
)
def test_check_names_a_directive_that_means_nothing_on_the_server(
    project: Project, text: str, missing: str
) -> None:
    project.wrapped(a1=text.format(""))
    said = f"alembic/sql/a1.sql: its directive names {missing}, which is not on this server. "
    output = project.ok("pgpipe", "check", "--no-rehearsal").output
    assert f"note: {said}Create it there, or mend the directive\n" in output
    assert project.alembic("upgrade", "head").code == 1
    project.source("a1", text.format("--skip\n") if text[0] == "{" else "--skip\n" + text)
    assert "directive" not in project.alembic("pgpipe", "check", "--no-rehearsal").output


def test_check_leaves_alone_what_a_source_ahead_may_make(project: Project) -> None:
    project.wrapped(
        a1="DO $$ BEGIN IF false THEN CREATE ROLE Somebody; END IF; END $$;\n",
        a2="-- pgpipe: role = somebody\nSELECT 1;\n",
    )
    assert "directive" not in project.alembic("pgpipe", "check", "--no-rehearsal").text


def test_check_names_the_grants_that_a_directive_needs(
    reader: Project, second_database: URL
) -> None:
    assert isinstance(reader.url, URL)
    user, other = reader.url.username, second_database.database
    root = Project(reader.folder, second_database)
    root.query(f"REVOKE CONNECT ON DATABASE {other} FROM PUBLIC")
    reader.configure()
    reader.wrapped(
        a1=f"SELECT 1;\n--MSSDATABASE={other}\n", a2="-- pgpipe: role = postgres\nSELECT 1;\n"
    )
    output = reader.ok("pgpipe", "check", "--no-rehearsal").output
    assert f"GRANT CONNECT ON DATABASE {other} TO {user}\n" in output
    assert f"GRANT postgres TO {user}\n" in output
    root.query(f"GRANT CONNECT ON DATABASE {other} TO {user}; GRANT postgres TO {user}")
    reader.configure()
    assert "directive" not in reader.ok("pgpipe", "check", "--no-rehearsal").output


def test_check_notes_that_the_user_may_not_create_the_ledger(reader: Project) -> None:
    assert isinstance(reader.url, URL)
    reader.wrapped(a1=TABLE.format("a"))
    output = reader.ok("pgpipe", "check", "--no-rehearsal").output
    assert (
        "note: an upgrade would have to create migrations, migration_logs, migration_" in output
    )
    assert f"GRANT CREATE, USAGE ON SCHEMA public TO {reader.url.username}" in output


def test_check_notes_a_server_that_takes_no_writes(project: Project) -> None:
    assert isinstance(project.url, URL)
    project.wrapped(a1=TABLE.format("a"))
    project.query(
        f"ALTER DATABASE {project.url.database} SET default_transaction_read_only = on"
    )
    output = project.ok("pgpipe", "check", "--no-rehearsal").output
    assert output.startswith("note: an upgrade could write nothing here: this is a standby, or")


def test_check_notes_what_only_the_scratch_server_has(project: Project) -> None:
    project.wrapped(a1="CREATE TABLE public.a (id int);\n")
    project.ok("upgrade", "head")
    project.query("INSERT INTO public.a VALUES (1)")
    project.wrapped(a2="SELECT 1 / (id - 1) FROM public.a;\nCREATE TABLE public.t (id int);\n")
    assert project.upgrade().code == 1
    project.ok("pgpipe", "skip", "a2", "--reason", "rows")
    project.ok("upgrade", "head")
    assert "SKIPPED" not in project.ok("pgpipe", "check").output
    project.wrapped(a3="ALTER TABLE public.t ADD x int;\n")
    result = project.ok("pgpipe", "check")
    assert "note: 1 revision SKIPPED in this database: " in result.output
    assert "(a2). The scratch server has what these make" in result.output
    assert "SKIPPED" not in project.ok("pgpipe", "check", "--no-rehearsal").output


def test_check_does_without_what_was_skipped_and_cannot_run(project: Project) -> None:
    project.wrapped(a1=TABLE.format("a"), a2=FAILING)
    assert project.upgrade().code == 1
    project.ok("pgpipe", "skip", "a2", "--reason", "not here")
    project.ok("upgrade", "head")
    project.wrapped(a3=TABLE.format("c"))
    for _ in range(2):
        result = project.ok("pgpipe", "check")
        assert last_line(result) == "1 pending revision run on a scratch server: no problems"
        assert "cannot be replayed" not in result.output
