"""What an env.py of the project's own may do around the one call of ours."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import URL

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project

TABLE = "CREATE TABLE public.{} ();\n"
HEAD = "from alembic import context\nfrom alembic_pgpipe.environment import run\n"
TWICE = """
run(context)
context.config.set_main_option("sqlalchemy.url", {!r})
run(context)
"""
CALLED = """
def called(*, step, **_):
    print("called for", step.up_revision_id)

run(context, on_version_apply={})
"""


def told(project: Project, env_py: str) -> Project:
    """Give a project two sources to run, and an env.py."""
    project.wrapped(a1=TABLE.format("a"), a2=TABLE.format("b"))
    project.write("alembic/env.py", HEAD + env_py)
    return project


def test_it_may_run_for_one_database_after_the_other(
    project: Project, second_database: URL
) -> None:
    url = second_database.render_as_string(hide_password=False).replace("%", "%%")
    told(project, TWICE.format(url))
    project.ok("upgrade", "head")
    everything = {"a1": "SUCCESS", "a2": "SUCCESS"}
    other = Project(project.folder.parent / "other", second_database)
    assert project.ledger() == other.ledger() == everything
    script = project.ok("upgrade", "head", "--sql").output
    assert script.count("CREATE TABLE public.a ()") == 2
    assert script.count("EXISTS public.migration_attempts (") == 2


@pytest.mark.parametrize("given", ["called", "[called]", "iter([called])"])
def test_its_callbacks_hear_of_each_version(project: Project, given: str) -> None:
    output = told(project, CALLED.format(given)).ok("upgrade", "head").output
    assert [f"called for {revision_id(name)}" in output for name in ("a1", "a2")] == [True] * 2


def test_alembic_is_told_once_what_to_do(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "alembic.runtime.migration"):
        told(project, "run(context)\n").ok("upgrade", "head")
    assert caplog.text.count("Context impl") == 1
