"""What a pending file would hold up: seen where it was run, and noted by ``check``."""

from __future__ import annotations

from unittest import mock

import pytest
from alembic.config import Config

from alembic_pgpipe.rehearsal.database import rehearsal
from alembic_pgpipe.rehearsal.replay import Replay
from alembic_pgpipe.revisions.wrapper import revision_id
from alembic_pgpipe.watching.onlooker import Onlooker
from tests.integration.rehearsal.test_database import PYTHON
from tests.project import Project

pytestmark = pytest.mark.usefixtures("shared_rehearsal")

BASE = """\
CREATE TABLE public.customers (id int PRIMARY KEY, email text);
CREATE TABLE public.orders (id int PRIMARY KEY, customer int, n int, note text);
CREATE INDEX ON public.orders (customer);
CREATE TABLE public.events (id int, at int) PARTITION BY LIST (id);
CREATE TABLE public.events_1 PARTITION OF public.events FOR VALUES IN (1);
CREATE TABLE public.events_2 PARTITION OF public.events FOR VALUES IN (2);
CREATE MATERIALIZED VIEW public.totals AS SELECT id FROM public.orders;
CREATE UNIQUE INDEX ON public.totals (id);
ALTER TABLE public.orders ADD CONSTRAINT many CHECK (n > 5) NOT VALID;
ALTER TABLE public.orders ADD CONSTRAINT noted CHECK (note IS NOT NULL);
"""
UNDO = "DROP TABLE public.customers, public.orders, public.events CASCADE;\n"
NEW = "CREATE TABLE public.new (id int PRIMARY KEY REFERENCES public.customers);\n"
ALTER_NEW = "ALTER TABLE public.new ALTER id TYPE bigint;\n"
OFF = "-- pgpipe: transaction = off\n"
ALTER = "ALTER TABLE public.orders "
REWRITES = "rewrites public.orders, which nobody can read meanwhile"
EITHER = "rewrites or empties public.orders, which nobody can read meanwhile"
VALID = (
    "(a constraint that is NOT VALID, and VALIDATE CONSTRAINT in a file of its own, does not)"
)
ALONE = f"reads all of public.orders while nobody else can read it {VALID}"
READS = f"reads all of public.orders while nobody can write to it {VALID}"
WRITES = "lets nobody write to public.customers meanwhile"
LOCKED = (
    "reads all of public.orders in a transaction that also locks others out of it (a file of "
    "its own for each does not)"
)
INDEXED = (
    "holds up writes to public.{} until an index is built (CONCURRENTLY, in a file of its own, "
    "it does not)"
)
REQUIRED = (
    "reads all of public.orders while nobody else can read it (SET NOT NULL behind a CHECK (… "
    "IS NOT NULL) that was added NOT VALID, and validated in a file of its own, does not)"
)
KEY = "ADD CONSTRAINT c FOREIGN KEY (customer) REFERENCES public.customers"
KEYED = (
    "holds up all that reads or writes public.orders until the index of a constraint is built "
    "(CREATE UNIQUE INDEX CONCURRENTLY in a file of its own, then ADD CONSTRAINT … USING "
    "INDEX, does not)"
)
HOLDS_UP = {
    "another type": (f"{ALTER}ALTER n TYPE bigint;", REWRITES),
    "a volatile default": (f"{ALTER}ADD more float DEFAULT random();", REWRITES),
    "unlogged": (f"{ALTER}SET UNLOGGED;", REWRITES),
    "the same type": (f"{ALTER}ALTER n TYPE int USING n + 1;", EITHER),
    "cluster": ("CLUSTER public.orders USING orders_pkey;", EITHER),
    "vacuum full": ("VACUUM FULL public.orders;", EITHER),
    "a materialized view": (
        "REFRESH MATERIALIZED VIEW public.totals;",
        "rewrites public.totals, which nobody can read meanwhile",
    ),
    "all partitions": (
        "ALTER TABLE public.events ALTER at TYPE bigint;",
        "rewrites public.events, which nobody can read meanwhile",
    ),
    "truncate": ("TRUNCATE public.orders;", "empties public.orders"),
    "truncate and more": (
        f"TRUNCATE public.orders;\n{ALTER}ADD x int;",
        "empties public.orders",
    ),
    "truncate one": ("TRUNCATE public.events_1;", "empties public.events_1"),
    "not null": (f"{ALTER}ALTER n SET NOT NULL;", REQUIRED),
    "check": (f"{ALTER}ADD CHECK (n > 1);", ALONE),
    "check of a new column": (f"{ALTER}ADD x int CHECK (x > 1);", ALONE),
    "foreign key": (f"{ALTER}{KEY};", f"{READS}; {WRITES}"),
    "validated at once": (
        f"{ALTER}{KEY} NOT VALID;\n{ALTER}VALIDATE CONSTRAINT c;",
        f"{READS}; {WRITES}",
    ),
    "check outside": (f"{OFF}{ALTER}ADD CHECK (n > 1);", READS),
    "filled in the same transaction": (
        f"{ALTER}ADD x int;\nUPDATE public.orders SET x = n;",
        LOCKED,
    ),
    "index": ("CREATE INDEX ON public.orders (n);", INDEXED.format("orders")),
    "unique index": ("CREATE UNIQUE INDEX ON public.orders (n);", INDEXED.format("orders")),
    "index of partitions": ("CREATE INDEX ON public.events (at);", INDEXED.format("events")),
    "index outside": (f"{OFF}CREATE INDEX ON public.orders (n);", INDEXED.format("orders")),
    "reindex": ("REINDEX TABLE public.orders;", INDEXED.format("orders")),
    "unique": (f"{ALTER}ADD UNIQUE (n);", KEYED),
    "drop": ("DROP TABLE public.orders CASCADE;", "drops public.orders with all rows"),
    "drop outside": (
        f"{OFF}DROP TABLE public.orders CASCADE;",
        "drops public.orders with all rows",
    ),
    "drop all partitions": ("DROP TABLE public.events;", "drops public.events with all rows"),
    "drop one": ("DROP TABLE public.events_1;", "drops public.events_1 with all rows"),
    "column": (f"{ALTER}DROP note;", "drops public.orders.note with all values"),
    "column of partitions": (
        "ALTER TABLE public.events DROP at;",
        "drops public.events.at with all values",
    ),
    "several": (
        f"{ALTER}ALTER n TYPE bigint, DROP note;\nCREATE INDEX ON public.customers (email);",
        f"{REWRITES}; drops public.orders.note with all values; {INDEXED.format('customers')}",
    ),
    "a table that is filled from what it references": (
        f"{NEW}INSERT INTO public.new SELECT id FROM public.customers;",
        LOCKED.replace("orders", "customers"),
    ),
}
HOLDS_UP_NOTHING = {
    "a column": f"{ALTER}ADD x int;",
    "a column with a default": f"{ALTER}ADD x int NOT NULL DEFAULT 5;",
    "a column that references": f"{ALTER}ADD x int REFERENCES public.customers;",
    "a longer type": "ALTER TABLE public.customers ALTER email TYPE varchar;",
    "names": f"{ALTER}RENAME n TO m;\nALTER TABLE public.customers RENAME TO people;",
    "not valid": f"{ALTER}ADD CHECK (n > 1) NOT VALID;",
    "validate": f"{ALTER}VALIDATE CONSTRAINT many;",
    "a key not valid": f"{ALTER}{KEY} NOT VALID;",
    "not null that a check proves": f"{ALTER}ALTER note SET NOT NULL;",
    "a trigger": (
        "CREATE TRIGGER t BEFORE UPDATE ON public.orders FOR EACH ROW "
        "EXECUTE FUNCTION suppress_redundant_updates_trigger();"
    ),
    "concurrently": "CREATE INDEX CONCURRENTLY ON public.orders (n);",
    "reindex concurrently": "REINDEX TABLE CONCURRENTLY public.orders;",
    "validated in another transaction": (
        f"{OFF}{ALTER}ADD CONSTRAINT c CHECK (n > 1) NOT VALID;\n{ALTER}VALIDATE CONSTRAINT c;"
    ),
    "rows": "UPDATE public.orders SET n = 1;\nDELETE FROM public.customers;",
    "a new table": (
        f"{NEW}CREATE INDEX ON public.new (id);\n{ALTER_NEW}"
        "TRUNCATE public.new;\nDROP TABLE public.new;"
    ),
    "a temporary table": "CREATE TEMP TABLE t (id int);\nALTER TABLE t ALTER id TYPE text;",
    "a materialized view that is refreshed beside its readers": (
        "REFRESH MATERIALIZED VIEW CONCURRENTLY public.totals;"
    ),
    "a vacuum": "VACUUM ANALYZE public.orders;",
}


@pytest.fixture
def project(project: Project) -> Project:
    """Give a project whose tables are applied."""
    project.source("a0", BASE, down=UNDO)
    project.wrapped()
    project.ok("upgrade", "head")
    return project


def noted(project: Project) -> list[str]:
    """Check, and return what is noted; nothing is a problem."""
    *notes, last = project.ok("pgpipe", "check").output.splitlines()
    assert last.endswith("no problems")
    return [note for note in notes if not note.startswith("pending: ")]


@pytest.mark.parametrize(("text", "note"), HOLDS_UP.values(), ids=HOLDS_UP)
def test_what_holds_something_up_is_noted(project: Project, text: str, note: str) -> None:
    project.wrapped(a1=text + "\n")
    assert noted(project) == [f"note: alembic/sql/a1.sql {note}"]


@pytest.mark.parametrize("text", HOLDS_UP_NOTHING.values(), ids=HOLDS_UP_NOTHING)
def test_what_holds_nothing_up_is_not_noted(project: Project, text: str) -> None:
    project.wrapped(a1=text + "\n")
    assert noted(project) == []


# -- which ones ----------------------------------------------------------------------------


def test_it_is_noted_until_it_is_applied(project: Project) -> None:
    project.wrapped(a1="DROP TABLE public.customers;\n")
    note = "note: alembic/sql/a1.sql drops public.customers with all rows"
    assert noted(project) == [note]
    assert noted(project) == [note]
    project.ok("upgrade", "head")
    assert noted(project) == []


def test_what_another_pending_file_makes_holds_nothing_up(project: Project) -> None:
    project.wrapped(
        a1=NEW,
        a2=f"{ALTER_NEW}DROP TABLE public.customers CASCADE;\n",
        a3="DROP TABLE public.new;\n",
    )
    assert noted(project) == ["note: alembic/sql/a2.sql drops public.customers with all rows"]
    project.ok("upgrade", "+1")
    rewrites = REWRITES.replace("orders", "new")
    assert noted(project) == [
        f"note: alembic/sql/a2.sql {rewrites}; drops public.customers with all rows",
        "note: alembic/sql/a3.sql drops public.new with all rows",
    ]


def test_what_nobody_has_looked_at_is_run_anew(project: Project) -> None:
    project.wrapped(a1="DROP TABLE public.customers;\n")
    # A rehearsal from the base, by a command that cannot know what is pending.
    with rehearsal(Config(project.folder / "alembic.ini")):
        pass
    assert noted(project) == ["note: alembic/sql/a1.sql drops public.customers with all rows"]


def test_what_another_command_has_tried_is_noted_as_well(project: Project) -> None:
    assert noted(project) == []
    with rehearsal(Config(project.folder / "alembic.ini")):
        project.wrapped(a1="DROP TABLE public.customers;\n")
    with rehearsal(Config(project.folder / "alembic.ini")):
        pass
    runs = mock.patch.object(Replay, "_run", side_effect=AssertionError("runs anew"))
    with runs:
        notes = noted(project)
    assert notes == ["note: alembic/sql/a1.sql drops public.customers with all rows"]


def test_a_python_revision_is_looked_at_too(project: Project) -> None:
    revision = PYTHON.format("p1", revision_id("a0"), 'op.drop_column("orders", "note")')
    path = project.write("alembic/versions/p1.py", revision)
    shown = path.relative_to(project.folder)
    assert noted(project) == [f"note: {shown} drops public.orders.note with all values"]


def test_what_the_step_before_has_read_is_not_read_by_the_next(project: Project) -> None:
    project.wrapped(a1="SELECT count(*) FROM public.orders;\n", a2=f"{ALTER}ADD x int;\n")
    assert noted(project) == []


def test_an_upgrade_looks_at_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Onlooker, "begin", mock.Mock(side_effect=AssertionError))
    project.wrapped(a1="DROP TABLE public.customers;\n")
    project.ok("upgrade", "head")
    assert project.scalar("SELECT count(*) FROM migration_attempts WHERE message <> ''") == 0


def test_nothing_is_said_where_nothing_is_rehearsed(project: Project) -> None:
    project.wrapped(a1="DROP TABLE public.customers;\n")
    assert "note" not in project.ok("pgpipe", "check", "--no-rehearsal").output


def test_where_nothing_is_applied_nothing_is_looked_at(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.ok("downgrade", "base")
    with monkeypatch.context() as patched:
        patched.setattr(Onlooker, "begin", mock.Mock(side_effect=AssertionError))
        project.wrapped(a1="DROP TABLE public.customers;\n")
        assert noted(project) == []
    project.wrapped(a2="DROP TABLE public.orders CASCADE;\n")
    assert noted(project) == []
    project.ok("upgrade", "+1")
    assert noted(project) == [
        "note: alembic/sql/a1.sql drops public.customers with all rows",
        "note: alembic/sql/a2.sql drops public.orders with all rows",
    ]
