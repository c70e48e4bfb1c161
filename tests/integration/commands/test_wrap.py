"""``alembic pgpipe wrap`` and ``alembic revision``: from files to revisions."""

from __future__ import annotations

from pathlib import Path

import pytest

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project

FUNCTION = (
    "CREATE OR REPLACE FUNCTION public.answer() RETURNS int LANGUAGE sql AS 'SELECT {}';\n"
)


def versions(project: Project) -> set[str]:
    return {path.name for path in (project.folder / "alembic/versions").glob("*.py")}


def order(project: Project) -> list[str]:
    """Return the ids of the history, from the base on."""
    found = project.ok("history").output.splitlines()
    return [line.split(" -> ")[1].split()[0].strip(",") for line in reversed(found)]


# -- sources ---------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_a_project_without_a_file_is_told_where_files_belong(
    project: Project, options: tuple[str, ...]
) -> None:
    said = project.ok("pgpipe", "wrap", *options).output
    where = "no SQL file is in alembic/sql yet; put yours there, then: alembic pgpipe wrap"
    assert said == f"{where}\n"


def test_wrap_follows_the_natural_order_of_names(project: Project) -> None:
    project.wrapped(v10="SELECT 10;\n", v9="SELECT 9;\n", v1="SELECT 1;\n")
    assert order(project) == [revision_id(name) for name in ("v1", "v9", "v10")]


def test_wrap_knows_both_layouts(project: Project) -> None:
    for name in ("a1.sql", "a2.up.sql", "a3/migration.sql", "a4/up.sql"):
        project.write(f"alembic/sql/{name}", "SELECT 1;\n")
    for name in ("a1.down.sql", "a2.down.sql", "a3/down.sql", "a4/down.sql"):
        project.write(f"alembic/sql/{name}", "SELECT 2;\n")
    output = project.ok("pgpipe", "wrap").output
    for name in ("a1.sql", "a2.up.sql", "a3/migration.sql", "a4/up.sql"):
        assert f" {name} → alembic/versions/" in output
    project.ok("upgrade", "head")
    project.ok("downgrade", "base")
    assert project.ledger() == dict.fromkeys(("a1", "a2", "a3", "a4"), "ROLLED_BACK")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("20260301_1200_add_users", "add users"),
        ("V2.1__add-users", "add users"),
        ("add_v2_users", "add v2 users"),
        ("20260301", "20260301"),
    ],
)
def test_wrap_says_in_words_what_a_name_says(project: Project, name: str, message: str) -> None:
    project.wrapped(**{name: "SELECT 1;\n"})
    assert project.ok("history").output.endswith(f" (head), {message}\n")


def test_wrap_appends_to_the_head_and_needs_no_database(project: Project) -> None:
    project.url = "postgresql://nobody@127.0.0.1:1/nowhere"
    project.configure()
    project.wrapped(b1="SELECT 1;\n")
    project.wrapped(a1="SELECT 2;\n")
    assert order(project) == [revision_id("b1"), revision_id("a1")]
    assert project.ok("pgpipe", "wrap").output == "every source has its wrapper\n"


def test_wrap_gives_a_source_the_same_id_in_every_clone(project: Project) -> None:
    project.wrapped(a1="SELECT 1;\n")
    [first] = versions(project)
    (project.folder / "alembic/versions" / first).unlink()
    project.wrapped()
    assert versions(project) == {first}
    assert first.startswith(revision_id("a1"))


def test_wrap_check_writes_nothing_and_says_what_is_missing(project: Project) -> None:
    assert project.ok("pgpipe", "wrap", "--check").output.startswith("no SQL file is in")
    project.source("a1", "SELECT 1;\n")
    project.write("alembic/routines/answer.sql", FUNCTION.format(1))
    result = project.alembic("pgpipe", "wrap", "--check")
    assert result.code == 6
    assert "no wrapper: a1.sql" in result.output
    assert "no revision: alembic/routines/answer.sql (new)" in result.output
    assert "next: alembic pgpipe wrap" in result.output
    assert versions(project) == set()
    assert not (project.folder / "alembic/sql/answer.v001.sql").exists()


def test_wrap_check_names_the_options_that_wrap_would_want(project: Project) -> None:
    two_heads(project)
    for option in ("--merge", "--drop", "--yes"):
        result = project.alembic("pgpipe", "wrap", "--check", option)
        assert result.code == (6 if option == "--merge" else 2), result.text
    assert "only --merge goes with it" in result.text
    result = project.alembic("pgpipe", "wrap", "--check", "--merge")
    assert result.output.splitlines()[-1] == "next: alembic pgpipe wrap --merge"


def test_wrap_check_says_that_a_gone_file_needs_drop(project: Project) -> None:
    copy = project.write("alembic/routines/answer.sql", FUNCTION.format(1))
    project.write("alembic/sql/answer.v001.sql", FUNCTION.format(1))
    project.ok("pgpipe", "wrap")
    copy.unlink()
    result = project.alembic("pgpipe", "wrap", "--check")
    assert result.output.splitlines() == [
        "no revision: alembic/routines/answer.sql (gone)",
        "next: alembic pgpipe wrap --drop",
    ]


def test_wrap_refuses_a_renamed_source(project: Project) -> None:
    project.wrapped(a1="SELECT 1;\n")
    (project.folder / "alembic/sql/a1.sql").rename(project.folder / "alembic/sql/a1.up.sql")
    result = project.alembic("pgpipe", "wrap")
    assert result.code == 1
    assert revision_id("a1") in result.text and "Put the old name back" in result.text


# -- two branches ----------------------------------------------------------------------------


def two_heads(project: Project) -> None:
    """Leave what git leaves when two branches that both added a source are merged."""
    project.wrapped(a1="SELECT 1;\n")
    versions_folder = project.folder / "alembic/versions"
    project.wrapped(b1="SELECT 2;\n")
    [mine] = versions_folder.glob(f"{revision_id('b1')}*")
    text = mine.read_text()
    mine.unlink()
    (project.folder / "alembic/sql/b1.sql").unlink()
    project.wrapped(c1="SELECT 3;\n")
    mine.write_text(text)
    project.source("b1", "SELECT 2;\n")


def test_wrap_says_that_there_are_two_heads(project: Project) -> None:
    two_heads(project)
    project.source("d1", "SELECT 4;\n")
    before = versions(project)
    for arguments in (("wrap",), ("wrap", "--check")):
        result = project.alembic("pgpipe", *arguments)
        assert result.code == 1
        assert "2 heads" in result.text and "alembic pgpipe wrap --merge" in result.text
    assert versions(project) == before


def test_wrap_merge_joins_two_heads_and_the_run_goes_through(project: Project) -> None:
    two_heads(project)
    assert project.upgrade().code == 1
    project.source("d1", "SELECT 4;\n")
    project.ok("pgpipe", "wrap", "--merge")
    assert len(project.ok("heads").output.splitlines()) == 1
    project.ok("upgrade", "head")
    assert set(project.ledger().values()) == {"SUCCESS"}
    assert len(project.ledger()) == 5


def test_wrap_merge_works_without_a_new_source_and_once(project: Project) -> None:
    two_heads(project)
    assert "merge" in project.ok("pgpipe", "wrap", "--merge").output
    assert project.ok("pgpipe", "wrap", "--merge").output == "every source has its wrapper\n"


def test_wrap_check_names_two_heads_without_a_new_source(project: Project) -> None:
    two_heads(project)
    result = project.alembic("pgpipe", "wrap", "--check")
    assert result.code != 0
    assert "alembic pgpipe wrap --merge" in result.text


# -- alembic revision ------------------------------------------------------------------------


def written(project: Project) -> Path:
    """Return the one source that there is."""
    [source] = (project.folder / "alembic/sql").glob("*.sql")
    return source


def test_revision_writes_a_wrapper_and_an_empty_source(project: Project) -> None:
    result = project.ok("revision", "-m", "add users' é-mail")
    source = written(project)
    file = f"alembic/sql/{source.name}"
    said = f"next: write your SQL into {file}, then: alembic upgrade head\n"
    assert said in result.output
    assert source.name.endswith("_add_users_é_mail.sql")
    assert source.read_text() == "-- add users' é-mail\n"
    source.write_text("CREATE TABLE public.users (id int);\n")
    source.with_name(source.stem + ".down.sql").write_text("DROP TABLE public.users;\n")
    project.ok("upgrade", "head")
    assert project.ledger() == {source.stem: "SUCCESS"}
    project.ok("downgrade", "base")
    assert project.scalar("SELECT to_regclass('public.users')") is None
    assert project.ok("pgpipe", "wrap", "--check").code == 0


def test_revision_with_an_empty_source_can_be_shipped(project: Project) -> None:
    project.ok("revision", "-m", "nothing yet")
    log = project.ok("upgrade", "head").output
    assert f": alembic/sql/{written(project).name} holds no statement\n" in log
    assert list(project.ledger().values()) == ["SUCCESS"]


def test_revision_twice_with_one_message_gives_two_sources(project: Project) -> None:
    for _ in range(2):
        project.ok("revision", "-m", "tune")
    assert len(list((project.folder / "alembic/sql").glob("*_tune*.sql"))) == 2
    project.ok("upgrade", "head")
    assert len(project.ledger()) == 2


def test_revision_without_a_message_is_a_wrapper_too(project: Project) -> None:
    project.ok("revision")
    assert written(project).exists()


def test_revision_names_an_option_that_is_wrong(project: Project) -> None:
    project.configure(shema="x")
    result = project.alembic("revision", "-m", "users")
    assert result.code == 1
    assert "Did you mean pgpipe.schema?" in result.text


def test_merge_of_alembic_stays_a_plain_revision(project: Project) -> None:
    two_heads(project)
    project.ok("merge", "heads", "-m", "both")
    assert not list((project.folder / "alembic/sql").glob("*both*"))
    project.ok("upgrade", "head")


def test_autogenerate_stays_a_plain_revision(project: Project) -> None:
    env = project.folder / "alembic/env.py"
    env.write_text(
        "import sqlalchemy as sa\nfrom alembic import context\n"
        "from alembic_pgpipe.environment import run\n"
        "metadata = sa.MetaData()\n"
        'sa.Table("made", metadata, sa.Column("id", sa.Integer, primary_key=True))\n'
        "run(context, target_metadata=metadata)\n"
    )
    project.wrapped(a1="SELECT 1;\n")
    project.ok("upgrade", "head")
    project.ok("revision", "--autogenerate", "-m", "made")
    project.ok("upgrade", "head")
    assert project.query("SELECT * FROM made") == []
    [name] = [name for name in project.ledger() if name.endswith("made")]
    text = (project.folder / "alembic/versions" / f"{name}.py").read_text()
    assert "op.create_table" in text and "drop_table('migrations')" not in text
    assert project.ok("check").code == 0


# -- routines --------------------------------------------------------------------------------


def answer(project: Project, number: int) -> None:
    """Edit the routine's working copy, and ship it."""
    project.write("alembic/routines/answer.sql", FUNCTION.format(number))
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")


def test_a_routine_is_shipped_from_its_snapshots(project: Project) -> None:
    answer(project, 1)
    assert project.scalar("SELECT answer()") == 1
    answer(project, 2)
    assert project.scalar("SELECT answer()") == 2
    assert project.ledger() == {"answer.v001": "SUCCESS", "answer.v002": "SUCCESS"}
    snapshot = project.folder / "alembic/sql/answer.v001.sql"
    assert snapshot.read_text() == FUNCTION.format(1)


def test_a_routine_goes_back_to_its_previous_snapshot_and_then_is_dropped(
    project: Project,
) -> None:
    answer(project, 1)
    answer(project, 2)
    project.ok("downgrade", "-1")
    assert project.scalar("SELECT answer()") == 1
    project.ok("downgrade", "-1")
    assert project.scalar("SELECT to_regprocedure('answer()')") is None
    project.ok("upgrade", "head")
    assert project.scalar("SELECT answer()") == 2


def test_an_edited_working_copy_alone_changes_no_replay(project: Project) -> None:
    answer(project, 1)
    project.write("alembic/routines/answer.sql", FUNCTION.format(7))
    project.ok("downgrade", "base")
    project.ok("upgrade", "head")
    assert project.scalar("SELECT answer()") == 1
    assert project.alembic("pgpipe", "wrap", "--check").code == 6


@pytest.mark.parametrize(
    "text", [FUNCTION.format(1).replace("\n", "\r\n"), "\ufeff" + FUNCTION.format(1)]
)
def test_line_ends_and_a_byte_order_mark_are_no_new_version(
    project: Project, text: str
) -> None:
    answer(project, 1)
    project.write("alembic/routines/answer.sql", text)
    assert project.ok("pgpipe", "wrap").output == "every source has its wrapper\n"


TRIGGER = """\
CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;
CREATE TRIGGER tr BEFORE INSERT ON public.t FOR EACH ROW EXECUTE FUNCTION public.f();
"""
OBJECTS = {
    "view": ("CREATE VIEW public.v AS SELECT 1 AS one;\n", "to_regclass('public.v')"),
    "procedure": (
        "CREATE PROCEDURE public.\"P x\"() LANGUAGE sql AS 'SELECT 1';\n",
        "to_regproc('public.\"P x\"')",
    ),
    "trigger": (
        TRIGGER,
        "(SELECT 'tr' FROM pg_trigger WHERE tgname = 'tr')",
    ),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_the_first_snapshot_is_undone_by_dropping_what_it_made(
    project: Project, kind: str
) -> None:
    text, found = OBJECTS[kind]
    project.wrapped(t="CREATE TABLE public.t (id int);\n")
    project.write(f"alembic/routines/{kind}.sql", text)
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head")
    assert project.scalar(f"SELECT {found} IS NOT NULL")
    project.ok("downgrade", "-1")
    assert project.scalar(f"SELECT {found} IS NULL")


def test_sql_files_where_no_source_is_looked_for_are_named(project: Project) -> None:
    project.source("a", "CREATE TABLE public.a (id int);\n")
    project.write("alembic/sql/2026/b.sql", "CREATE TABLE public.b (id int);\n")
    note = "note: nothing runs alembic/sql/2026/b.sql: a source lies in alembic/sql itself"
    for arguments in (("wrap",), ("wrap", "--check"), ("check",)):
        assert note in project.ok("pgpipe", *arguments).text
    project.source("c", "\\ir 2026/b.sql\n")
    assert "nothing runs" not in project.ok("pgpipe", "wrap").text
    project.write("alembic/sql/2026/d.sql", "")
    project.configure(**{"pgpipe.sources": "."})
    assert "nothing runs" not in project.alembic("pgpipe", "wrap", "--check").text
