"""Routine files as people write them on a bad day: nothing is lost, and nothing half done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from uuid import uuid4

import pytest

from tests.histories import Dump
from tests.integration.routines.test_shipping import (
    F_WIDER,
    F,
    V,
    dump,
    schema,
    shipped,
    signatures,
    sources,
    write,
)
from tests.project import Project

__all__ = ["dump"]
pytestmark = pytest.mark.usefixtures("shared_rehearsal")
TOGETHER = "--together"
OR_REPLACE = F.replace("CREATE", "CREATE OR REPLACE")


@pytest.fixture(autouse=True)
def ledger(project: Project) -> None:
    """Keep our own tables out of the dumps."""
    project.configure(schema="ledger")
    project.query("CREATE SCHEMA ledger")


@pytest.fixture
def role(project: Project) -> Iterator[str]:
    """Give a role of the test's own to the server, which the rehearsal's has not."""
    name = f"odd_{uuid4().hex[:8]}"
    project.query(f"CREATE ROLE {name} SUPERUSER")
    yield name
    project.query(f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


def there_and_back(
    project: Project, dump: Dump, *steps: Mapping[str, str | None], options: Sequence[str] = ()
) -> None:
    """Ship each step, and see that the way down and up passes through the same states."""
    project.wrapped(a0="SELECT 1;\n")
    project.ok("upgrade", "head")
    states = [(head(project), schema(project, dump))]
    for step in steps:
        shipped(project, "--drop", *options, **step)
        states.append((head(project), schema(project, dump)))
    assert project.ok("pgpipe", "wrap").output == "every source has its wrapper\n"
    for revision, state in reversed(states[:-1]):
        project.ok("downgrade", revision)
        assert schema(project, dump) == state
    project.ok("upgrade", "head")
    assert schema(project, dump) == states[-1][1]


def head(project: Project) -> str:
    return str(project.scalar("SELECT version_num FROM ledger.alembic_version"))


def refused(project: Project, *options: str, **texts: str | None) -> str:
    """Edit working copies, see that nothing is written, and return what wrap said."""
    before = snapshots(project)
    for name, text in texts.items():
        write(project, name, text)
    result = project.alembic("pgpipe", "wrap", *options)
    assert result.code == 1, result.text
    assert snapshots(project) == before
    return result.text


def snapshots(project: Project) -> Mapping[str, bytes]:
    return {p.name: p.read_bytes() for p in (project.folder / "alembic/sql").iterdir()}


# -- one revision of several texts -------------------------------------------------------------


def test_texts_without_a_last_semicolon_share_a_revision(project: Project, dump: Dump) -> None:
    f, v = F.strip().rstrip(";"), f"{V.strip().rstrip(';')} -- the end"
    w = V.replace("public.v", "public.w")
    there_and_back(
        project,
        dump,
        {"f": f, "v": v, "w": w},
        {"f": f.replace("T a", "T a + 1"), "v": v.replace("f(1)", "f(2)"), "w": w + "\n-- w"},
        options=[TOGETHER],
    )


def test_a_text_with_a_transaction_does_not_share_a_revision(project: Project) -> None:
    texts = {"f": f"BEGIN;\n{F}COMMIT;\n", "v": V}
    said = refused(project, TOGETHER, **texts)
    assert "alembic/routines/f.sql:1:1: this change needs" in said
    assert "Without --together, each of them is a revision of its own." in said
    shipped(project, **texts)
    assert project.scalar("SELECT one FROM v") == 1


def test_what_a_header_sets_does_not_hold_for_others(project: Project, role: str) -> None:
    texts = {"f": f"-- pgpipe: role = {role}\n{F}", "v": V}
    said = refused(project, TOGETHER, **texts)
    assert "alembic/routines/f.sql: this change shares a revision" in said
    shipped(project, **texts)
    owners = project.query("SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'f'")
    assert owners == [(role,)]
    assert (
        project.scalar("SELECT relowner::regrole::text FROM pg_class WHERE relname = 'v'")
        != role
    )


def test_what_a_header_sets_is_kept_where_a_text_is_alone(project: Project) -> None:
    timeout = "-- pgpipe: lock_timeout = 4s\n"
    domain = "CREATE DOMAIN public.d AS int CHECK (VALUE > 0);\n"
    shipped(project, f=timeout + F, d=timeout + domain)
    shipped(project, f=timeout + F_WIDER, d=timeout + domain.replace("0", "1"))
    for name in ("f.v002.sql", "f.v002.down.sql", "d.v002.sql", "d.v002.down.sql"):
        assert snapshots(project)[name].startswith(timeout.encode()), name


def test_what_the_header_of_a_dependant_sets_is_not_lost_silently(project: Project) -> None:
    shipped(project, f=F, v=f"-- pgpipe: lock_timeout = 4s\n{V}")
    said = shipped(project, f=F.replace("a int", "b int").replace("T a", "T b"))
    assert "v.sql: created again, for it depends on it; what its header sets does not" in said
    assert "every source" in project.ok("pgpipe", "wrap").output
    said = refused(project, f=F_WIDER, v=f"-- pgpipe: lock_timeout = 5s\n{V}-- changed\n")
    assert "v.sql: this change shares a revision" not in said


def test_a_setting_of_one_text_does_not_leak_into_the_next(project: Project) -> None:
    leak = "SELECT set_config('search_path', 'pg_temp', false);\n"
    said = refused(project, TOGETHER, f=leak + F, w=V.replace("public.", ""))
    assert "One revision cannot hold these changes" in said
    assert "f.v001.routines.sql" in said


def test_a_second_wrap_within_the_minute_leaves_the_first_alone(project: Project) -> None:
    options = (TOGETHER, "-m", "x")
    shipped(project, *options, f=F, g=F.replace("public.f", "public.g"))
    before = snapshots(project)
    shipped(project, *options, h=F.replace("public.f", "public.h"), v=V)
    assert before.items() < snapshots(project).items()
    assert project.scalar("SELECT h(one) FROM v") == 1


def test_a_snapshot_is_never_written_over(project: Project) -> None:
    project.write("alembic/sql/f.v001.down.sql", "-- somebody's\n")
    said = refused(project, f=F)
    assert "alembic/sql/f.v001.down.sql: there already, and a snapshot is never" in said


def test_wrappers_are_told_also_where_routines_are_refused(project: Project) -> None:
    project.source("t", "CREATE TABLE public.t (a int);\n")
    write(project, "f", F.replace("T a", "T nope"))
    result = project.alembic("pgpipe", "wrap")
    assert result.code == 1
    assert "t.sql → alembic/versions/" in result.output


def test_a_role_that_only_the_databases_have_is_granted_something(
    project: Project, role: str
) -> None:
    grant = f"GRANT EXECUTE ON FUNCTION public.f(int, int) TO {role};\n"
    shipped(project, f=F)
    shipped(project, f=F_WIDER + grant)
    assert signatures(project) == ["f(integer,integer)"]
    project.wrapped(t="CREATE TABLE public.t (a int);\n")
    shipped(project, p=f"CREATE POLICY p ON public.t TO {role} USING (true);\n")
    assert sources(project) > {"p.v001.sql"}
