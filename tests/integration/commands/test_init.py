"""``alembic pgpipe init``: a project from nothing, or beside what is there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.project import Project
from tests.surroundings import libpq

MADE = (
    "alembic.ini",
    "alembic/env.py",
    "alembic/script.py.mako",
    "alembic/versions",
    "alembic/sql",
    "alembic/routines",
    "buildspec.yaml",
    ".gitignore",
)
EXTENDED = ("alembic.ini", ".gitignore")


@pytest.fixture
def bare(tmp_path: Path, database: URL) -> Project:
    """Give a folder with nothing in it, whose commands find the test's database."""
    project = Project(tmp_path / "away", database)
    project.folder = tmp_path / "new"
    project.folder.mkdir()
    return project


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def ships(project: Project, sources: str = "alembic/sql") -> None:
    """Expect that a source can be written, wrapped and shipped now."""
    project.write(f"{sources}/a1.sql", "CREATE TABLE public.a (id int);\n")
    project.ok("pgpipe", "wrap")
    project.ok("upgrade", "head", env=libpq(project.url))
    assert project.ledger() == {"a1": "SUCCESS"}


def test_init_writes_a_project_that_ships(bare: Project) -> None:
    result = bare.ok("pgpipe", "init")
    for name in MADE:
        assert (bare.folder / name).exists()
        assert f"{name}{'/' if (bare.folder / name).is_dir() else ''}: written" in result.output
    assert "next: set sqlalchemy.url" in result.output
    ships(bare)


def test_what_alembic_reads_in_the_encoding_of_the_locale_is_plain(bare: Project) -> None:
    bare.ok("pgpipe", "init")
    assert (bare.folder / "alembic.ini").read_bytes().isascii()


def test_init_takes_another_folder(bare: Project) -> None:
    bare.ok("pgpipe", "init", "db/migrations")
    assert (bare.folder / "db/migrations/env.py").is_file()
    assert not (bare.folder / "alembic").exists()
    ships(bare, "db/migrations/sql")


def test_init_twice_changes_nothing(bare: Project) -> None:
    bare.ok("pgpipe", "init")
    before = everything(bare.folder)
    result = bare.ok("pgpipe", "init")
    assert everything(bare.folder) == before
    assert result.output.count("left as it is") == len(MADE)


def test_init_overwrites_no_file_and_says_what_to_change(bare: Project) -> None:
    own = {name: "mine\n" for name in MADE if "." in name and name not in EXTENDED}
    for name, text in own.items():
        bare.write(name, text)
    result = bare.ok("pgpipe", "init")
    for name, text in own.items():
        assert (bare.folder / name).read_text() == text
        assert f"{name}: left as it is · " in result.output
    assert "from alembic_pgpipe.environment import run" in result.output


def test_init_brings_an_alembic_project_under_the_plugin(bare: Project) -> None:
    bare.ok("init", "alembic")
    before = everything(bare.folder)
    result = bare.ok("pgpipe", "init")
    after = everything(bare.folder)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"alembic.ini"} and after.keys() - before.keys() >= {".gitignore"}
    assert "alembic.ini: extended" in result.output
    assert before["alembic.ini"].splitlines()[-1] == after["alembic.ini"].splitlines()[-1]
    assert b"# pgpipe.sources" in after["alembic.ini"]


def test_what_a_run_leaves_is_nothing_to_commit(bare: Project) -> None:
    bare.ok("pgpipe", "init")
    ships(bare)
    bare.write("alembic/__pycache__/env.cpython-313.pyc", "")
    subprocess.run(["git", "init", "-q"], cwd=bare.folder, check=True)
    told = ["git", "status", "--porcelain", "--untracked-files=all"]
    seen = subprocess.run(told, cwd=bare.folder, check=True, capture_output=True, text=True)
    assert "alembic/sql/a1.sql" in seen.stdout and "buildspec.yaml" in seen.stdout
    assert (bare.folder / "migration.log").is_file() and "migration.log" not in seen.stdout
    assert "pyc" not in seen.stdout


def test_init_leaves_each_byte_of_what_git_passes_over(bare: Project) -> None:
    present = b"caf\xe9\\ \r\n\x0c\r\n\r\n"
    (bare.folder / ".gitignore").write_bytes(present)
    bare.ok("pgpipe", "init")
    added = b"__pycache__/\r\nmigration.log\r\n"
    assert (bare.folder / ".gitignore").read_bytes() == present + added


def test_init_leaves_a_gitignore_alone_that_is_no_file(bare: Project) -> None:
    (bare.folder / ".gitignore").mkdir()
    assert ".gitignore: left as it is" in bare.ok("pgpipe", "init").output


@pytest.mark.parametrize(
    ("present", "after"),
    [
        ("", "__pycache__/\nmigration.log\n"),
        ("dist/", "dist/\n__pycache__/\nmigration.log\n"),
        ("*.log\n", "*.log\n__pycache__/\n"),
        ("*.py[cod]\n/migration.log\n", "*.py[cod]\n/migration.log\n"),
    ],
)
def test_init_adds_a_line_to_what_git_passes_over(
    bare: Project, present: str, after: str
) -> None:
    bare.write(".gitignore", present)
    result = bare.ok("pgpipe", "init")
    assert (bare.folder / ".gitignore").read_text() == after
    kept = "left as it is" if present == after else "extended"
    assert f".gitignore: {kept}" in result.output


def test_init_extends_a_configuration_without_a_section(bare: Project) -> None:
    bare.write("alembic.ini", "[loggers]\nkeys = root\n")
    assert "alembic.ini: extended" in bare.ok("pgpipe", "init").output
    text = (bare.folder / "alembic.ini").read_text()
    assert text.startswith("[loggers]\nkeys = root\n")
    ships(bare)


def test_init_keeps_to_the_folder_that_the_configuration_names(bare: Project) -> None:
    bare.write("alembic.ini", "[alembic]\nscript_location = %(here)s/db\n")
    bare.ok("pgpipe", "init")
    assert (bare.folder / "db/env.py").is_file()
    assert not (bare.folder / "alembic").exists()
    ships(bare, "db/sql")


def test_init_writes_the_configuration_that_was_named(bare: Project) -> None:
    bare.ok("-c", "shop.ini", "pgpipe", "init")
    assert (bare.folder / "shop.ini").is_file()
    assert not (bare.folder / "alembic.ini").exists()


def test_init_keeps_a_configuration_in_pyproject_toml(bare: Project) -> None:
    text = '[tool.alembic]\nscript_location = "%(here)s/db"\n'
    bare.write("pyproject.toml", text)
    bare.ok("pgpipe", "init")
    assert (bare.folder / "pyproject.toml").read_text() == text
    assert (bare.folder / "db/env.py").is_file()
    ships(bare, "db/sql")
