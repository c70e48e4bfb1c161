"""Revisions that are unknown, broken or one head too many, and options nobody knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from alembic_pgpipe.revisions.wrapper import revision_id
from tests.project import Project
from tests.refusal import applied, refused

TABLE = "CREATE TABLE public.{0} (id int);\n"
COMMANDS = (("upgrade", "head"), ("pgpipe", "status"), ("pgpipe", "check"), ("pgpipe", "wrap"))
ALEMBICS_OWN = (("heads",), ("history",), ("current",), ("branches",), ("show", "head"))


def wrapper(project: Project, name: str) -> Path:
    """Return the file of a source's wrapper."""
    [path] = project.folder.glob(f"alembic/versions/{revision_id(name)}_*.py")
    return path


def rebased(project: Project, name: str, base: str | None) -> None:
    """Let a wrapper follow another revision."""
    path = wrapper(project, name)
    line = f"down_revision = {revision_id(base) if base else None!r}"
    if base:
        line = f'down_revision = "{revision_id(base)}"'
    path.write_text(re.sub("^down_revision = .*$", line, path.read_text(), flags=re.M))


def outcome(project: Project) -> str | None:
    """Return the outcome of the only build."""
    [(status,)] = project.query("SELECT status FROM migration_logs")
    return None if status is None else str(status)


def shipping(project: Project) -> Project:
    """Let a first build have applied something, so that there is a ledger."""
    project.wrapped(before=TABLE.format("before"))
    project.ok("upgrade", "head")
    return project


# -- unknown --------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["upgrade", "downgrade", "stamp"])
def test_an_unknown_revision_names_the_nearest(project: Project, verb: str) -> None:
    project.wrapped(users=TABLE.format("users"))
    id_ = revision_id("users")
    # Alembic takes the id alone, not the name of a source.
    for name in ("user", "users", f"{id_}x"):
        refused(
            project.alembic(verb, name),
            f"No revision goes by '{name}'. Did you mean {id_} (users)? Then: alembic {verb} "
            f"{id_}. See them all: alembic pgpipe status --all",
        )
    assert applied(project) == []
    assert outcome(project) == "FAILURE"


@pytest.mark.parametrize(("verb", "asked"), [("downgrade", "users-1"), ("upgrade", "users+1")])
def test_a_step_from_an_unknown_revision_is_one_from_the_nearest(
    project: Project, verb: str, asked: str
) -> None:
    project.wrapped(users=TABLE.format("users"))
    project.ok("upgrade", "head")
    then = f"alembic {verb} {asked.replace('users', revision_id('users'))}. See"
    refused(project.alembic(verb, asked), then)


@pytest.mark.parametrize(
    ("command", "then"),
    [
        ("retry user", "retry {}."),
        ("skip user --reason x", 'skip {} --reason "…".'),
        ("repair --applied user", "repair --applied {}."),
        ("repair --not-applied user", "repair --not-applied {}."),
    ],
)
def test_a_decision_about_an_unknown_revision_names_the_nearest(
    project: Project, command: str, then: str
) -> None:
    project.wrapped(users=TABLE.format("users"))
    result, id_ = project.alembic("pgpipe", *command.split()), revision_id("users")
    refused(result, f"No revision goes by 'user'. Did you mean {id_} (users)?")
    assert f"Then: alembic pgpipe {then.format(id_)} See them all" in result.text


def test_what_resembles_no_revision_gets_no_guess(project: Project) -> None:
    project.wrapped(users=TABLE.format("users"))
    refused(project.alembic("stamp", "zzz"), "No revision goes by 'zzz'. See them all: alembic")


def test_a_version_that_the_project_lacks_is_named_with_the_way_out(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"))
    project.ok("upgrade", "head")
    project.query("UPDATE alembic_version SET version_num = 'deadbeef'")
    project.wrapped(b=TABLE.format("b"))
    found = project.alembic("pgpipe", "check", "--no-rehearsal")
    assert found.code == 6, found.text
    assert "alembic_version: it holds revision 'deadbeef'" in found.output
    others = tuple(one for one in COMMANDS[:3] if one != ("pgpipe", "check"))
    for command in (*others, ("downgrade", "base"), ("stamp", "head")):
        refused(
            project.alembic(*command),
            "alembic_version names revision 'deadbeef'",
            "alembic/versions",
            "alembic stamp --purge REVISION",
        )
    assert applied(project) == ["a"]
    assert project.ledger() == {"a": "SUCCESS"}
    project.ok("stamp", "--purge", revision_id("a"))
    project.ok("upgrade", "head")
    assert applied(project) == ["a", "b"]


@pytest.mark.parametrize(
    "command",
    [("upgrade", "head"), ("pgpipe", "status"), ("downgrade", "-1")],
    ids=" ".join,
)
def test_a_wrapper_that_was_lost_is_written_again(
    project: Project, command: tuple[str, ...]
) -> None:
    project.wrapped(a=TABLE.format("a"), b=TABLE.format("b"))
    project.ok("upgrade", "head")
    lost = f"{revision_id('b')}_b.py"
    text = (project.folder / "alembic/versions" / lost).read_text()
    (project.folder / "alembic/versions" / lost).unlink()
    said = "alembic/sql/b.sql, is there: only its wrapper was lost."
    assert said in project.alembic("pgpipe", "check", "--no-rehearsal").output
    line = refused(project.alembic(*command), said)
    project.ok(*line.rpartition("again: alembic ")[2].split())
    assert (
        text.partition("Create Date")[0]
        == (
            (project.folder / "alembic/versions" / lost).read_text().partition("Create Date")[0]
        )
    )
    project.ok("upgrade", "head")
    project.ok("pgpipe", "check")


# -- broken ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def (:", "SyntaxError: invalid syntax"),
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_broken_wrapper_is_named_with_its_line(
    project: Project, code: str, said: str
) -> None:
    shipping(project).wrapped(a=TABLE.format("a"), b=TABLE.format("b"))
    path = wrapper(project, "b")
    text = path.read_text()
    path.write_text(f"{text}{code}\n")
    line = len(text.splitlines()) + 1
    for command in (*COMMANDS, *ALEMBICS_OWN):
        where = f"alembic/versions/{path.name}:{line}: this revision cannot be read: {said}"
        refused(project.alembic(*command), where)
    assert applied(project) == ["before"]
    assert outcome(project) == "FAILURE"
    path.write_text(text)
    project.ok("upgrade", "head")
    assert applied(project) == ["a", "b", "before"]


def test_revisions_in_a_circle_are_named(project: Project) -> None:
    shipping(project).wrapped(a=TABLE.format("a"), b=TABLE.format("b"))
    rebased(project, "a", "b")
    for command in COMMANDS:
        refused(
            project.alembic(*command), "alembic/versions", revision_id("a"), "down_revision"
        )
    assert outcome(project) == "FAILURE"


def broken(project: Project) -> Project:
    """Give a project with a wrapper that cannot be read."""
    project.wrapped(a=TABLE.format("a"))
    wrapper(project, "a").write_text("1 / 0\n")
    return project


def test_whoever_asks_for_the_traceback_gets_it(project: Project) -> None:
    with pytest.raises(ZeroDivisionError):
        broken(project).alembic("--raiseerr", "heads")


def test_a_project_that_does_not_use_this_package_keeps_alembics_own_error(
    project: Project,
) -> None:
    broken(project).write("alembic/env.py", "from alembic import context\n")
    with pytest.raises(ZeroDivisionError):
        project.alembic("heads")


def test_an_error_that_no_revision_has_caused_is_left_as_it_is(project: Project) -> None:
    project.wrapped(a=TABLE.format("a"))
    project.write("alembic/env.py", "import alembic_pgpipe\n1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        project.alembic("current")


# -- two heads ------------------------------------------------------------------------------


def branched(project: Project) -> Project:
    """Let two branches that both added a source be merged."""
    project.wrapped(base=TABLE.format("base"))
    project.wrapped(left=TABLE.format("l"), right=TABLE.format("r"))
    rebased(project, "right", "base")
    return project


def test_two_heads_name_the_command_that_joins_them(project: Project) -> None:
    line = refused(branched(project).upgrade(), "Join them: alembic pgpipe wrap --merge")
    assert revision_id("left") in line
    assert revision_id("right") in line
    assert applied(project) == []
    assert outcome(project) == "FAILURE"
    assert "wrap --merge" in project.scalar("SELECT logs FROM migration_logs")


def test_two_heads_are_a_problem_for_check(project: Project) -> None:
    result = branched(project).alembic("pgpipe", "check")
    assert result.code == 6
    assert "alembic/versions: The history has 2 heads" in result.output
    assert "alembic pgpipe wrap --merge" in result.output


def test_two_heads_are_joined_by_the_command_that_was_named(project: Project) -> None:
    branched(project).upgrade()
    project.ok("pgpipe", "wrap", "--merge")
    result = project.upgrade()
    assert result.code == 0, result.text
    assert applied(project) == ["base", "l", "r"]


def test_an_unknown_revision_is_not_blamed_on_two_heads(project: Project) -> None:
    line = refused(branched(project).alembic("upgrade", "nope"), "No revision goes by 'nope'")
    assert "heads" not in line


# -- options --------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_names_the_nearest(
    project: Project, command: tuple[str, ...]
) -> None:
    project.configure(lock_wiat="3s")
    line = refused(
        project.alembic(*command), "pgpipe.lock_wiat", "Did you mean pgpipe.lock_wait?"
    )
    assert "pgpipe.retry_failed" in line


def test_an_unknown_option_of_the_command_line_is_refused_too(project: Project) -> None:
    result = project.alembic("-x", "pgpipe.lock_wiat=3s", "upgrade", "head")
    refused(result, "Did you mean pgpipe.lock_wait?")
