"""Transactions: a source and its record are one, or the source goes on where it stopped."""

from __future__ import annotations

import pytest

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project

OWN = "SELECT pg_catalog.txid_current() AS id"
TABLE = "CREATE TABLE public.t (id int);\nINSERT INTO public.t VALUES (1), (1);\n"
INDEX = "CREATE UNIQUE INDEX CONCURRENTLY {0} ON public.t (id);\n"


def valid(project: Project, index: str) -> bool | None:
    """Return whether an index is valid; None where there is none."""
    found = project.query(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", index
    )
    return found[0][0] if found else None


def done(project: Project, name: str) -> list[tuple[str, int, int]]:
    """Return outcome, statements done and total of each attempt."""
    return project.query(
        "SELECT outcome, statements_done, statements_total FROM migration_attempts "
        "WHERE migration_name = %s ORDER BY id",
        name,
    )


def test_an_envelope_is_absorbed_by_the_transaction_of_the_step(project: Project) -> None:
    project.wrapped(
        a1=f"BEGIN;\nCREATE TABLE public.own AS {OWN};\nCOMMIT;\n",
        a2=f"START TRANSACTION ISOLATION LEVEL REPEATABLE READ;\nINSERT INTO own {OWN};\n"
        "CREATE TABLE public.modes AS SELECT current_setting('transaction_isolation');\nEND;\n",
    )
    result = project.upgrade()
    assert result.code == 0, result.text
    recorded = "SELECT xmin::text::bigint FROM migrations ORDER BY migration_name"
    assert project.query(recorded) == project.query("SELECT id FROM own ORDER BY id")
    assert project.query("TABLE modes") == [("repeatable read",)]


def test_an_envelope_that_fails_leaves_nothing(project: Project) -> None:
    project.wrapped(a1="BEGIN;\nCREATE TABLE public.t (id int);\nSELECT 1/0;\nCOMMIT;\n")
    assert project.upgrade().code == 1
    assert project.scalar("SELECT to_regclass('public.t')") is None


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("SELECT 1;\nCOMMIT;\n", "2:1"),
        ("BEGIN;\nSELECT 1;\nCOMMIT;\nBEGIN;\nSELECT 2;\nCOMMIT;\n", "4:1"),
        ("BEGIN;\nCOMMIT;\nINSERT INTO t VALUES (1);\n", "3:1"),
        ("SELECT 1;\n  ROLLBACK;\n", "2:3"),
        ("PREPARE TRANSACTION 'x';\n", "1:1"),
        ("BEGIN;\nVACUUM;\nCOMMIT;\n", "2:1"),
        ("SELECT 1;\n" + INDEX.format("i"), "2:1"),
    ],
)
def test_what_cannot_be_made_safe_is_refused_before_anything_runs(
    project: Project, text: str, place: str
) -> None:
    project.wrapped(a1="CREATE TABLE public.first (id int);\n", a2=text)
    result = project.upgrade()
    assert result.code == 1
    assert f"alembic/sql/a2.sql:{place}" in result.text
    assert project.ledger() == {"a1": "WAITING", "a2": "ERROR"}
    assert project.scalar("SELECT to_regclass('public.first')") is None


def test_require_transaction_refuses_a_source_without_an_envelope(project: Project) -> None:
    project.configure(require_transaction="true")
    project.wrapped(a1="BEGIN;\nSELECT 1;\nCOMMIT;\n", a2="SELECT 2;\n")
    result = project.upgrade()
    assert result.code == 1
    assert "a2.sql:1:1" in result.text and "pgpipe.require_transaction" in result.text
    assert project.ledger() == {"a1": "WAITING", "a2": "ERROR"}


def test_a_statement_that_cannot_run_in_a_transaction_runs_alone(project: Project) -> None:
    project.wrapped(
        a1="CREATE TABLE public.t (id int);\n", a2=INDEX.format("t_id"), a3="VACUUM t;\n"
    )
    result = project.upgrade()
    assert result.code == 0, result.text
    assert valid(project, "t_id") is True
    assert done(project, "a2") == [("SUCCESS", 1, 1)]
    assert set(project.ledger().values()) == {"SUCCESS"}


def test_a_source_outside_a_transaction_goes_on_at_the_statement_that_failed(
    project: Project,
) -> None:
    project.wrapped(
        a1=TABLE,
        a2="SET lock_timeout = '9s';\n"
        "CREATE INDEX CONCURRENTLY first ON public.t (id);\n" + INDEX.format("second"),
    )
    assert project.upgrade().code == 1
    assert done(project, "a2") == [("ERROR", 2, 3)]
    assert valid(project, "first") is True and valid(project, "second") is False
    project.query("DELETE FROM t WHERE ctid = (SELECT min(ctid) FROM t)")
    project.ok("pgpipe", "retry", "a2")
    result = project.upgrade()
    assert result.code == 0, result.text
    assert "resumed at statement 3" in result.text
    assert "left INVALID: dropped, built again" in result.text
    assert valid(project, "second") is True
    assert done(project, "a2")[-1] == ("SUCCESS", 3, 3)


def test_what_follows_the_finished_statements_may_be_edited(project: Project) -> None:
    head = "-- pgpipe: transaction = off\nCREATE TABLE public.once (id int);\n"
    project.wrapped(a1=head + "SELECT 1/0;\n")
    assert project.upgrade().code == 1
    project.source("a1", head + "CREATE TABLE public.twice (id int);\nSELECT 2;\n")
    result = project.upgrade()
    assert result.code == 0, result.text
    assert "resumed at statement 2" in result.text
    assert project.query("SELECT * FROM twice") == []


def test_a_finished_statement_that_was_edited_is_refused(project: Project) -> None:
    head = "-- pgpipe: transaction = off\n"
    project.wrapped(a1=f"{head}CREATE TABLE public.once (id int);\nSELECT 1/0;\n")
    assert project.upgrade().code == 1
    project.source("a1", f"{head}CREATE TABLE public.other (id int);\nSELECT 1;\n")
    result = project.upgrade()
    assert result.code == 1
    assert (
        "statement 1 was finished by build local_run and has been edited since" in result.text
    )
    assert "a1.sql:2:1" in result.text
    assert project.scalar("SELECT to_regclass('public.other')") is None


def test_what_a_source_sets_is_gone_before_the_next(project: Project) -> None:
    project.wrapped(
        a1="SELECT pg_catalog.set_config('search_path', '', false);\n"
        "SET ROLE pg_monitor;\nSET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;\n"
        "CREATE TEMPORARY TABLE scrap (id int);\nPREPARE scrap AS SELECT 1;\n",
        a2="CREATE TEMPORARY TABLE scrap (id int);\nPREPARE scrap AS SELECT 1;\n"
        "CREATE TABLE t AS SELECT current_user::text AS who, current_schema() AS schema;\n",
    )
    result = project.upgrade()
    assert result.code == 0, result.text
    assert project.query("TABLE t") == [("postgres", "public")]


def test_a_run_goes_on_after_what_a_run_before_it_left(project: Project) -> None:
    project.wrapped(a1="CREATE TABLE public.a (id int);\n", a2="SELECT 1/0;\n")
    assert project.upgrade().code == 1
    assert project.scalar("SELECT version_num FROM alembic_version") == revision_id("a1")
    project.source("a2", "CREATE TABLE public.b (id int);\n")
    assert "[1/1]" in project.ok("upgrade", "head").output


# -- Python revisions --------------------------------------------------------------------------

PYTHON = """\
from alembic import op
revision, down_revision = "p", None


def upgrade():
    op.execute("CREATE TABLE public.early (id int)")
    {}
    op.execute("CREATE TABLE public.late (id int)")
"""


@pytest.mark.parametrize(
    "ends",
    [
        "op.get_bind().commit()",
        "op.get_bind().rollback()",
        "op.execute('COMMIT')",
        "op.execute('ROLLBACK')",
    ],
)
def test_a_python_revision_that_ends_its_transaction_is_an_error(
    project: Project, ends: str
) -> None:
    project.write("alembic/versions/p.py", PYTHON.format(ends))
    result = project.upgrade()
    assert result.code == 1
    assert "alembic/versions/p.py" in result.text
    assert "autocommit_block()" in result.text
    assert "nothing of this revision was applied" not in result.text.lower()
    assert project.ledger() == {"p": "ERROR"}
    assert project.query("SELECT rolled_back_at FROM migrations") == [(None,)]


def test_a_python_revision_may_have_an_autocommit_block(project: Project) -> None:
    text = PYTHON.format(
        "with op.get_context().autocommit_block():\n"
        '        op.execute("CREATE INDEX CONCURRENTLY early_id ON public.early (id)")'
    )
    project.write("alembic/versions/p.py", text)
    result = project.upgrade()
    assert result.code == 0, result.text
    assert valid(project, "early_id") is True
    assert project.ledger() == {"p": "SUCCESS"}


def test_what_a_python_revision_committed_before_it_failed_is_not_called_undone(
    project: Project,
) -> None:
    text = PYTHON.format(
        "with op.get_context().autocommit_block():\n"
        '        op.execute("CREATE INDEX CONCURRENTLY early_id ON public.early (id)")\n'
        '    op.execute("SELECT 1/0")'
    )
    project.write("alembic/versions/p.py", text)
    result = project.upgrade()
    assert result.code == 1
    assert "what it committed by itself stays" in result.text
    assert "nothing of this revision was applied" not in result.text.lower()
    assert project.query("SELECT applied_status, rolled_back_at FROM migrations") == [
        ("ERROR", None)
    ]
    assert valid(project, "early_id") is True


def test_a_python_revision_may_copy_through_the_drivers_own_cursor(project: Project) -> None:
    # psycopg2 refuses COPY while a wait callback is set: a body must run without one.
    text = PYTHON.format(
        "import io\n"
        "    cursor = op.get_bind().connection.cursor()\n"
        '    cursor.copy_expert("COPY public.early FROM STDIN", io.StringIO("1\\n2\\n"))\n'
        '    cursor.copy_from(io.StringIO("3\\n"), "early")'
    )
    project.write("alembic/versions/p.py", text)
    project.ok("upgrade", "head")
    assert project.query("SELECT id FROM early ORDER BY 1") == [(1,), (2,), (3,)]
