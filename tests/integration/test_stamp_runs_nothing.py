"""A stamp, and a downgrade to where one is, run nothing: not even what is to be retried."""

from __future__ import annotations

import pytest

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project

B = revision_id("b")
INDEX = "CREATE INDEX CONCURRENTLY ib ON a (i);\n"


@pytest.mark.parametrize("command", [("stamp", "head"), ("downgrade", B)], ids=" ".join)
@pytest.mark.parametrize("text", [INDEX, "CREATE TABLE ib (i int);\n"], ids=["alone", "in one"])
def test_what_is_to_be_retried_waits_for_an_upgrade(
    project: Project, command: tuple[str, ...], text: str
) -> None:
    project.source("a", "CREATE TABLE a (i int);\n", "DROP TABLE a;\n")
    project.source("b", text, "SELECT 1;\n")
    project.wrapped()
    project.ok("pgpipe", "skip", B, "--reason", "later")
    project.ok("upgrade", "head")
    project.ok("pgpipe", "retry", B)
    project.ok(*command)
    assert project.scalar("SELECT to_regclass('ib')") is None
    assert project.outcomes("b")[-1] == ("upgrade", "RETRY")
    assert project.ledger()["b"] == "RETRY"
    project.ok("upgrade", "head")
    assert project.scalar("SELECT to_regclass('ib')::text") == "ib"


@pytest.mark.parametrize("command", [("stamp", "head"), ("downgrade", B)], ids=" ".join)
def test_what_failed_holds_no_command_that_runs_nothing(
    project: Project, command: tuple[str, ...]
) -> None:
    project.source("a", "SELECT 1;\n", "SELECT 1;\n")
    project.source("b", "SELECT 1/0;\n", "SELECT 1;\n")
    project.wrapped()
    project.ok("pgpipe", "skip", B, "--reason", "later")
    project.ok("upgrade", "head")
    project.ok("pgpipe", "retry", B)
    assert project.upgrade().code == 1
    project.ok(*command)
    assert project.upgrade().code == 3
