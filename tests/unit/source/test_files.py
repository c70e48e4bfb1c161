"""Which sources a folder holds, and which paths are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.source.checksum import checksum
from alembic_pgpipe.source.directives import Directives
from alembic_pgpipe.source.files import (
    SourceFile,
    discover,
    locate,
    natural_key,
    shown_path,
    source_name,
    undo_file,
)
from alembic_pgpipe.source.loading import Source, load_source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "project" / "alembic" / "sql"
    made.mkdir(parents=True)
    return made


def write(folder: Path, *files: str) -> None:
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("SELECT 1;\n")


def test_every_layout(folder: Path) -> None:
    write(folder, "1_a.sql", "1_a.down.sql", "2_b.up.sql", "2_b.down.sql", "3_c/migration.sql")
    write(folder, "3_c/down.sql", "4_d/up.sql", "5_e.sql", "6.x.sql/migration.sql")
    write(folder, "README.md", ".hidden.sql", ".git/up.sql", "7_f/notes.sql", "8_g.down.sql")
    (folder / "9_h.sql").mkdir()
    assert discover(folder, folder) == (
        SourceFile("1_a", "1_a.sql", "1_a.down.sql"),
        SourceFile("2_b", "2_b.up.sql", "2_b.down.sql"),
        SourceFile("3_c", "3_c/migration.sql", "3_c/down.sql"),
        SourceFile("4_d", "4_d/up.sql", "4_d/down.sql"),
        SourceFile("5_e", "5_e.sql", "5_e.down.sql"),
        SourceFile("6.x.sql", "6.x.sql/migration.sql", "6.x.sql/down.sql"),
    )


def test_natural_order(folder: Path) -> None:
    names = ["V1", "V2_b", "V2_c", "V10", "V010_x", "a", "a1", "a01b", "a2", "a" + "9" * 100]
    shuffled = set(names)
    assert sorted(shuffled, key=natural_key) == names
    write(folder, "10.sql", "9.sql", "1/up.sql")
    assert [source.name for source in discover(folder, folder)] == ["1", "9", "10"]
    assert natural_key("9" * 5000) > natural_key("1")


def test_a_day_comes_before_the_times_of_the_next_day() -> None:
    names = ["0_init", "20250624120000_a", "20250625_b", "202506250930_c", "20250626_d"]
    names += ["V9", "V20251301", "V20250101", "V202501020000"]
    assert sorted(set(names), key=natural_key) == names


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.sql", "a.up.sql"),
        ("a.sql", "a/migration.sql"),
        ("a/up.sql", "a/migration.sql"),
    ],
)
def test_one_name_one_source(folder: Path, one: str, other: str) -> None:
    write(folder, one, other)
    with pytest.raises(SourceError, match=r"both named a\. Rename it"):
        discover(folder, folder)


def test_a_folder_that_cannot_be_read(folder: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        discover(folder / "nowhere", folder)
    write(folder, "x.sql")
    with pytest.raises(SourceError, match="cannot be read"):
        discover(folder / "x.sql", folder)


def test_a_name_that_cannot_be_stored(folder: Path) -> None:
    write(folder, "a\nb.sql")
    with pytest.raises(SourceError, match="Rename it"):
        discover(folder, folder)


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("1.SQL", "1.sql"),
        ("A.UP.sql", "A.up.sql"),
        ("A.Up.Sql", "A.up.sql"),
        ("A.DOWN.sql", "A.down.sql"),
        ("A.down.SQL", "A.down.sql"),
        ("A/Migration.sql", "A/migration.sql"),
        ("A/UP.SQL", "A/up.sql"),
        ("A/Down.sql", "A/down.sql"),
    ],
)
def test_a_name_in_capitals_is_not_passed_over(folder: Path, file: str, wanted: str) -> None:
    write(folder, "0/migration.sql", file, "9.sql")
    with pytest.raises(SourceError) as caught:
        discover(folder, folder)
    assert caught.value.path == file
    words = f"has to end in small letters: {wanted}. Rename it, then: alembic pgpipe wrap"
    assert words in caught.value.problem


def test_capitals_of_what_is_no_source_are_nobodys_business(folder: Path) -> None:
    write(folder, "README.MD", "a/NOTES.SQL", ".HIDDEN.SQL", "a/b/UP.SQL", "SQL", "Up.sql")
    (folder / "B.SQL").mkdir()
    (folder / "c" / "UP.SQL").mkdir(parents=True)
    assert [source.file for source in discover(folder, folder)] == ["Up.sql"]


@pytest.mark.parametrize(
    ("file", "name", "undo"),
    [
        ("a.sql", "a", "a.down.sql"),
        ("a.up.sql", "a", "a.down.sql"),
        ("V0001.Init.up.sql", "V0001.Init", "V0001.Init.down.sql"),
        ("a.down.sql", "a", "a.down.sql"),
        ("a/migration.sql", "a", "a/down.sql"),
        ("a/up.sql", "a", "a/down.sql"),
        ("a/down.sql", "a", "a/a.down.sql"),
        ("up.sql", "up", "up.down.sql"),
        ("x/a.sql", "a", "x/a.down.sql"),
    ],
)
def test_names(file: str, name: str, undo: str) -> None:
    assert source_name(file) == name
    if not file.endswith("down.sql"):
        assert undo_file(file) == undo


def test_locate(folder: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    write(folder, "a.sql", "b/up.sql")
    assert locate(folder, "a.sql", project) == folder / "a.sql"
    assert locate(folder, "b/up.sql", project) == folder / "b" / "up.sql"
    (folder / "link.sql").symlink_to("a.sql")
    assert locate(folder, "link.sql", project) == folder / "a.sql"
    assert shown_path(folder, "b/up.sql", project) == "alembic/sql/b/up.sql"
    assert shown_path(folder, "../../../x.sql", project) == (tmp_path / "x.sql").as_posix()


def test_locate_stays_in_the_project(folder: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    write(tmp_path, "secret.sql", "project2/x.sql", "elsewhere/up.sql")
    (folder / "link.sql").symlink_to(tmp_path / "secret.sql")
    (folder / "dir").symlink_to(tmp_path / "elsewhere")
    assert {source.name for source in discover(folder, folder)} == {"link", "dir"}
    outside = ["link.sql", "dir/up.sql", "../../../secret.sql", str(tmp_path / "secret.sql")]
    for file in [*outside, "../../../project2/x.sql", "/dev/null"]:
        with pytest.raises(SourceError, match="outside the project"):
            locate(folder, file, project)


def test_locate_wants_a_regular_file(folder: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    os.mkfifo(folder / "fifo.sql")
    (folder / "loop.sql").symlink_to("loop.sql")
    (folder / "broken.sql").symlink_to("nothing.sql")
    (folder / "d").mkdir()
    expected = {
        "fifo.sql": "not a regular file",
        "loop.sql": "this path cannot be used",
        "broken.sql": "there is no such file",
        "missing.sql": "there is no such file",
        "d": "this is a folder",
        "a\0b.sql": "this path cannot be used",
        "x" * 300 + ".sql": "this path cannot be used",
    }
    for file, message in expected.items():
        with pytest.raises(SourceError, match=message) as caught:
            locate(folder, file, project)
        assert caught.value.path.startswith("alembic/sql/")


def test_load(folder: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    raw = b"\xef\xbb\xbf-- pgpipe: role = r\r\nSELECT 'a\r\nb';\r\n"
    (folder / "a.sql").write_bytes(raw)
    source = load_source(folder, "a.sql", project)
    assert source.path == "alembic/sql/a.sql"
    assert source.file == "a.sql"
    assert source.directives == Directives(role="r")
    (statement,) = source.statements()
    assert (statement.text, statement.line) == ("SELECT 'a\r\nb';", 2)
    assert source.checksum == checksum("SELECT 'a\nb';\n")


def test_a_broken_source_still_has_its_header_and_its_checksum(folder: Path) -> None:
    text = "--skip\nSELECT 'never closed\n-- pgpipe: what = ever\n"
    (folder / "a.sql").write_text(text)
    source = load_source(folder, "a.sql", folder)
    assert source.directives == Directives(skip=True)
    assert source.checksum == checksum(text)
    with pytest.raises(SourceError, match=r"a\.sql:2:8: this string never ends"):
        _ = source.execution


def test_a_source_that_was_changed_after_its_check_is_refused(folder: Path) -> None:
    (folder / "a.sql").write_text("SELECT 1;")
    source = load_source(folder, "a.sql", folder)
    assert [s.text for s in source.statements()] == ["SELECT 1;"]
    (folder / "a.sql").write_text("SELECT 1; SELECT 2;")
    with pytest.raises(SourceError, match=r"a\.sql: this file was changed after"):
        next(source.statements())


# -- included files --------------------------------------------------------------------------


def included(folder: Path, **files: str) -> Source:
    """Write files into ``alembic/sql`` of a project and load ``a.sql``."""
    for name, text in files.items():
        path = folder / "alembic" / "sql" / f"{name.replace('__', '/')}.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return load_source(folder / "alembic" / "sql", "a.sql", folder)


def test_included_files_are_read_where_they_stand(tmp_path: Path) -> None:
    source = included(
        tmp_path,
        a="SELECT 1;\n\\i alembic/sql/sub/b.sql\nSELECT 4;",
        sub__b="SELECT 2;\n\\ir 'c.sql'\n",
        sub__c="\nSELECT 3",
    )
    assert [(s.path, s.line, s.text) for s in source.statements()] == [
        ("alembic/sql/a.sql", 1, "SELECT 1;"),
        ("alembic/sql/sub/b.sql", 1, "SELECT 2;"),
        ("alembic/sql/sub/c.sql", 2, "SELECT 3"),
        ("alembic/sql/a.sql", 3, "SELECT 4;"),
    ]
    assert source.execution.total == 4


def test_included_files_count_for_the_checksum(tmp_path: Path) -> None:
    before = included(tmp_path, a="\\ir b.sql\n", b="SELECT 1;").checksum
    assert before == included(tmp_path, b="SELECT 1;\r\n").checksum
    assert before != included(tmp_path, b="SELECT 2;").checksum
    source = included(tmp_path, b="SELECT 1;")
    (tmp_path / "alembic" / "sql" / "b.sql").write_text("SELECT 3;")
    with pytest.raises(SourceError, match=r"b\.sql: this file was changed"):
        list(source.statements())


@pytest.mark.parametrize(
    "command", ["\\ir ../parts/b.sql", "\\i ../ours/parts/b.sql", "\\i {}/parts/b.sql"]
)
def test_files_of_a_sources_folder_elsewhere_include_each_other(
    tmp_path: Path, command: str
) -> None:
    project, sources = tmp_path / "project", tmp_path / "ours"
    for folder in (project, sources / "a", sources / "parts"):
        folder.mkdir(parents=True)
    (sources / "a" / "migration.sql").write_text(command.format(sources))
    (sources / "parts" / "b.sql").write_text("\\ir ../parts/../c.sql\n")
    (sources / "c.sql").write_text("SELECT 1;\n")
    source = load_source(sources, "a/migration.sql", project)
    assert [s.path for s in source.statements()] == [f"{sources}/c.sql"]


def test_files_beside_a_sources_folder_elsewhere_are_not_included(tmp_path: Path) -> None:
    project, sources = tmp_path / "project", tmp_path / "ours"
    for folder in (project, sources / "a"):
        folder.mkdir(parents=True)
    (tmp_path / "b.sql").write_text("SELECT 1;\n")
    (sources / "a" / "migration.sql").write_text("\\ir ../../b.sql\n")
    with pytest.raises(SourceError, match="outside the project"):
        _ = load_source(sources, "a/migration.sql", project).execution


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT 1;\n\\i nowhere.sql\n", r"a\.sql:2:1: \\i nowhere.sql: there is no such file"),
        (
            "\\ir ../../../x.sql\n",
            r"a\.sql:1:1: \\ir \.\./\.\./\.\./x\.sql: .*outside the project",
        ),
        ("\\i /etc/passwd\n", r"a\.sql:1:1: \\i /etc/passwd: .*outside the project"),
        ("\\ir a.sql\n", r"a\.sql:1:1: .*include each other without an end"),
        ("\\ir b.sql\n", r"b\.sql:1:1: a directive has no effect"),
    ],
)
def test_includes_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        _ = included(tmp_path, a=text, b="-- pgpipe: role = x\nSELECT 1;").execution


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    write(folder, "a.sql")
    (folder / "a.sql").chmod(0)
    with pytest.raises(SourceError, match="cannot be read"):
        load_source(folder, "a.sql", tmp_path)
