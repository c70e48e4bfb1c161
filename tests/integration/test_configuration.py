"""Where options come from: a section by name, -x, and pyproject.toml."""

from __future__ import annotations

import pytest
from sqlalchemy import URL

from tests.project import Project
from tests.surroundings import libpq

TABLE = "CREATE TABLE public.a (id int);\n"
TOML = """\
[tool.alembic]
script_location = "%(here)s/alembic"
{}
"""


def ready(project: Project) -> Project:
    project.wrapped(a1=TABLE)
    return project


def shown(project: Project) -> str:
    assert isinstance(project.url, URL)
    return project.url.render_as_string(hide_password=False)


# -- alembic -n ------------------------------------------------------------------------------


def test_another_section_is_another_environment(project: Project) -> None:
    ready(project)
    ini = (project.folder / "alembic.ini").read_text()
    prod = ini.replace("[alembic]", "[prod]") + "pgpipe.schema = prod\n"
    project.write("alembic.ini", ini.replace(shown(project), "scratch://none") + prod)
    project.ok("-n", "prod", "upgrade", "head")
    assert project.ledger("prod") == {"a1": "SUCCESS"}
    assert project.scalar("SELECT count(*) FROM prod.alembic_version") == 1
    assert "1 SUCCESS" in project.ok("--name", "prod", "pgpipe", "status").output
    assert "(head)" in project.ok("-n", "prod", "current").output


# -- alembic -x ------------------------------------------------------------------------------


def test_a_file_that_is_named_with_two_slashes_shows_no_other_paths(project: Project) -> None:
    project.wrapped(a="SELECT 1/0;\n")
    result = project.alembic("-c", f"/{project.folder}/alembic.ini", "upgrade", "head")
    assert "\nalembic/sql/a.sql:1:1" in result.output
    named = f"alembic -c /{project.folder}/alembic.ini pgpipe"
    assert f"{named} retry" in result.text
    assert str(project.folder) not in result.text.replace(named, "")


def test_x_beats_the_file(project: Project) -> None:
    ready(project).configure(schema="from_file", log_file="file.log")
    project.ok("-x", "pgpipe.schema=given", "-x", "pgpipe.log_file=", "upgrade", "head")
    assert project.ledger("given") == {"a1": "SUCCESS"}
    assert project.scalar("SELECT to_regnamespace('from_file') IS NULL")
    assert not (project.folder / "file.log").exists()
    status = project.ok("-x", "pgpipe.schema=given", "pgpipe", "status", "--json")
    assert '"SUCCESS"' in status.output


def test_x_of_somebody_else_is_left_alone(project: Project) -> None:
    ready(project).ok("-x", "tenant=north", "upgrade", "head")
    assert project.ledger() == {"a1": "SUCCESS"}


@pytest.mark.parametrize("command", ["upgrade head", "pgpipe status", "pgpipe wrap"])
def test_an_unknown_option_given_by_x_names_the_nearest(project: Project, command: str) -> None:
    result = project.alembic("-x", "pgpipe.shema=given", *command.split())
    assert result.code == 1
    assert "Unknown option pgpipe.shema. Did you mean pgpipe.schema?" in result.text


# -- pyproject.toml --------------------------------------------------------------------------


def in_toml(project: Project, *lines: str) -> None:
    """Move the project's configuration into pyproject.toml."""
    (project.folder / "alembic.ini").unlink()
    project.write("pyproject.toml", TOML.format("\n".join(lines)))


@pytest.mark.parametrize(
    "lines",
    [
        ('"pgpipe.schema" = "ledger"', '"pgpipe.retries" = 1', '"pgpipe.scratch_in_ci" = true'),
        ('pgpipe.schema = "ledger"', "pgpipe.retries = 1", "pgpipe.scratch_in_ci = true"),
        ("[tool.alembic.pgpipe]", 'schema = "ledger"', "retries = 1", "scratch_in_ci = true"),
    ],
)
def test_options_in_pyproject_toml(project: Project, lines: tuple[str, ...]) -> None:
    ready(project)
    in_toml(project, *lines)
    result = project.alembic("upgrade", "head", env=libpq(project.url))
    assert result.code == 0, result.text
    assert project.ledger("ledger") == {"a1": "SUCCESS"}
    assert (project.folder / "migration.log").exists()
    status = project.alembic("pgpipe", "status", env=libpq(project.url))
    assert "1 SUCCESS" in status.output


@pytest.mark.parametrize("key", ['"sqlalchemy.url"', "sqlalchemy.url"])
def test_the_url_in_pyproject_toml(project: Project, key: str) -> None:
    ready(project)
    in_toml(project, f'{key} = "{shown(project).replace("%", "%%")}"')
    project.ok("upgrade", "head")
    assert project.ledger() == {"a1": "SUCCESS"}


@pytest.mark.parametrize("command", ["upgrade head", "pgpipe status", "pgpipe wrap"])
def test_a_percent_sign_in_pyproject_toml_that_is_not_doubled_is_named(
    project: Project, command: str
) -> None:
    in_toml(project, '"sqlalchemy.url" = "postgresql://app:Xq7%zu@localhost/shop"')
    result = project.alembic(*command.split())
    assert result.code == 1
    assert "sqlalchemy.url" in result.text and "%%" in result.text
    assert "pyproject.toml" in result.text
    assert "Xq7" not in result.text


def test_pyproject_toml_has_the_options_and_alembic_ini_the_database(project: Project) -> None:
    ready(project)
    project.write("pyproject.toml", TOML.format('"pgpipe.schema" = "ledger"'))
    project.write(
        "alembic.ini", f"[alembic]\nsqlalchemy.url = {shown(project)}\n".replace("%", "%%")
    )
    project.ok("upgrade", "head")
    assert project.ledger("ledger") == {"a1": "SUCCESS"}


def test_an_unknown_option_in_pyproject_toml_names_the_nearest(project: Project) -> None:
    in_toml(project, 'pgpipe.sourcs = "migrations"')
    result = project.alembic("pgpipe", "status", env=libpq(project.url))
    assert result.code == 1
    assert "Did you mean pgpipe.sources?" in result.text
