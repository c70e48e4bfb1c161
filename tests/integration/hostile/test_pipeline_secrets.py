"""Where a password still shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from alembic_pgpipe.scratch.server import ScratchServer
from tests.conftest import connect_to
from tests.integration.test_passwords import (
    LEAK,
    Guarded,
    guarded,
    guarded_project,
    hides,
)
from tests.project import Project

__all__ = ["guarded", "guarded_project"]
SPACED = "p@ss word+1"
BUILD = {"CI": "true", "GITHUB_RUN_NUMBER": "7", "GITHUB_RUN_ID": "907"}


def test_check_does_not_print_a_password_that_a_source_holds(
    guarded_project: Project, shared_rehearsal: ScratchServer
) -> None:
    guarded_project.wrapped(a=f"SELECT '{LEAK}'::int;\n")
    result = guarded_project.alembic("pgpipe", "check")
    assert result.code == 6
    assert "***" in result.text
    assert hides(result.text)


@pytest.fixture
def spaced(guarded: Guarded) -> Iterator[str]:
    admin = connect_to(guarded.server.url("shop"))
    with admin.cursor() as cursor:
        cursor.execute("CREATE ROLE spaced LOGIN SUPERUSER PASSWORD %s", (SPACED,))
        yield "spaced"
        cursor.execute("DROP OWNED BY spaced CASCADE")
        cursor.execute("DROP ROLE spaced")
    admin.close()


def test_a_password_is_hidden_as_sqlalchemy_spells_it_in_a_url(
    guarded: Guarded, spaced: str, tmp_path: Path
) -> None:
    url = guarded.server.url("shop").set(username=spaced, password=SPACED)
    project = Project(tmp_path, url)
    project.wrapped(a="SELECT 1;\n")
    [path] = project.folder.glob("alembic/versions/*.py")
    asks = 'op.get_context().config.get_main_option("sqlalchemy.url")'
    body = f'raise ValueError("no answer from " + {asks})'
    path.write_text(path.read_text().replace("op.run_source(source)", body))
    result = project.upgrade()
    assert "no answer from" in result.text
    [(logs,)] = project.query("SELECT logs FROM migration_logs")
    shown = result.text + logs + (tmp_path / "migration.log").read_text()
    assert "p%40ss word+1" not in shown


def test_a_url_with_an_at_and_a_slash_in_its_password_is_not_quoted(tmp_path: Path) -> None:
    # The password is Xq7@localhost/zu9, written as it is.
    project = Project(tmp_path, "postgresql://app:Xq7@localhost/zu9@db.example.com/shop")
    result = project.upgrade()
    log = (tmp_path / "migration.log").read_text()
    assert "zu9" not in result.text + log
