"""SQL files that lie where no source is looked for are found, and only those."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alembic_pgpipe.source.strays import strays


def found(folder: Path, **files: str) -> tuple[str, ...]:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return strays(folder, folder / "routines")


def test_files_in_folders_are_found_however_deep_they_lie(tmp_path: Path) -> None:
    files = {
        "2026/01_a.sql": "",
        "2026/q1/02_b.SQL": "",
        "2026/c/migration.sql": "",
        "d.sql": "",
    }
    assert found(tmp_path, **files) == (
        "2026/01_a.sql",
        "2026/c/migration.sql",
        "2026/q1/02_b.SQL",
    )


@pytest.mark.parametrize(
    "file",
    [
        "a.sql",
        "a.down.sql",
        "a/migration.sql",
        "a/up.sql",
        ".git/a.sql",
        "b/.cache/a.sql",
        "b/.a.sql",
        "routines/a.sql",
        "routines/shop/a.sql",
        "b/a.txt",
    ],
)
def test_what_is_a_source_or_no_sql_is_not_found(tmp_path: Path, file: str) -> None:
    assert found(tmp_path, **{file: ""}) == ()


def test_what_lies_beside_a_source_in_its_folder_is_its_own(tmp_path: Path) -> None:
    assert (
        found(tmp_path, **{"a/migration.sql": "", "a/notes.sql": "", "a/old/b.sql": ""}) == ()
    )


@pytest.mark.parametrize(
    "line",
    [r"\ir parts/b.sql", r"  \i 'alembic/sql/parts/b.sql'", r"\include_relative parts/b.sql;"],
)
def test_what_is_included_is_not_found(tmp_path: Path, line: str) -> None:
    text = f"SELECT 1;\n{line}\n"
    assert (
        found(tmp_path, **{"a.sql": text, "parts/b.sql": "\\ir c.sql\n", "parts/c.sql": ""})
        == ()
    )
    assert found(tmp_path, **{"a.sql": f"-- {line}\n"}) == ("parts/b.sql",)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.sql")
    assert found(tmp_path, **{"b/c.sql": ""}) == ("b/c.sql",)


def test_a_folder_that_is_not_there_holds_none(tmp_path: Path) -> None:
    assert strays(tmp_path / "nowhere", tmp_path) == ()
