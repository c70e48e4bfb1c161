"""Working copies and their snapshots: what is new, changed or gone, and what cannot be said."""

from __future__ import annotations

from pathlib import Path

import pytest

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.routines.composed import Copied, Section, Told, Written, composed
from alembic_pgpipe.routines.working import changed_routines, moved, read_snapshots
from alembic_pgpipe.settings import Settings

V = "CREATE VIEW v AS SELECT 1;\n"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    for name in ("sql", "routines/a"):
        (tmp_path / name).mkdir(parents=True)
    return Settings("", tmp_path, tmp_path / "sql", tmp_path / "routines")


def write(settings: Settings, **files: str) -> None:
    """Write files; in the names, ``__`` is a slash and ``_`` a dot."""
    for name, text in files.items():
        path = settings.project / name.replace("__", "/").replace("_", ".")
        path.write_text(text, encoding="utf-8", newline="")


def found(settings: Settings) -> list[tuple[str, str, int]]:
    return [(one.path, one.what, one.version) for one in changed_routines(settings)]


def test_files_are_new_changed_or_gone(settings: Settings) -> None:
    write(settings, routines__a__new_sql=V, routines__same_sql=V, routines__v_sql=V)
    write(settings, sql__same_v001_sql=V.replace("\n", "\r\n"), sql__v_v001_sql=V)
    write(settings, sql__v_v010_sql="SELECT 2;", sql__gone_v002_sql=V)
    assert found(settings) == [
        ("routines/a/new.sql", "new", 1),
        ("routines/v.sql", "changed", 11),
        ("routines/gone.sql", "gone", 3),
    ]


def test_an_older_text_is_a_change_like_any_other(settings: Settings) -> None:
    write(settings, sql__v_v001_sql=V, sql__v_v002_sql="SELECT 2;", routines__v_sql=V)
    assert found(settings) == [("routines/v.sql", "changed", 3)]


@pytest.mark.parametrize("text", [V, "SELECT 2;\n", "SELECT 3;\n"])
def test_one_version_of_two_branches_is_a_change(settings: Settings, text: str) -> None:
    for branch, ours in {"g": V, "h": "SELECT 2;\n"}.items():
        path = settings.sources / f"{branch}.routines.sql"
        path.write_text(composed((Section("v", 2), Copied(ours))), encoding="utf-8")
    write(settings, routines__v_sql=text)
    assert found(settings) == [("routines/v.sql", "changed", 3)]
    write(settings, sql__v_v003_sql=text)
    assert found(settings) == []


def test_one_version_of_two_branches_with_one_text_is_none(settings: Settings) -> None:
    for branch in "gh":
        path = settings.sources / f"{branch}.routines.sql"
        path.write_text(composed((Section("v", 2), Copied(V))), encoding="utf-8")
    write(settings, routines__v_sql=V)
    assert found(settings) == []


def test_a_file_that_one_branch_changed_and_another_dropped_is_asked_for(
    settings: Settings,
) -> None:
    for branch, text in {"g": V, "h": ""}.items():
        path = settings.sources / f"{branch}.routines.sql"
        path.write_text(composed((Section("v", 2), Copied(text))), encoding="utf-8")
    assert found(settings) == [("routines/v.sql", "gone", 3)]


@pytest.mark.parametrize("header", ["-- pgpipe: role = x\n", "-- pgpipe: rule = x\n"])
def test_a_directive_alone_is_a_change(settings: Settings, header: str) -> None:
    write(settings, routines__v_sql=f"{header}{V}", sql__v_v001_sql=V)
    assert found(settings) == [("routines/v.sql", "changed", 2)]


def test_a_decision_about_a_snapshot_is_no_change(settings: Settings) -> None:
    write(settings, routines__v_sql=V, sql__v_v001_sql=f"--skip\n{V}")
    assert found(settings) == []


def test_what_wrap_has_written_is_no_part_of_a_snapshot(settings: Settings) -> None:
    parts = (Section("v", 3), Written("DROP VIEW v;"), Copied(V), Section("w", 1), Told(V))
    write(settings, sql__v_v002_sql="SELECT 2;", sql__x_routines_sql=composed(parts))
    latest = read_snapshots(settings)
    assert [(s.name, s.version, s.text, s.plain) for s in latest.values()] == [
        ("v", 3, V, False),
        ("w", 1, V, False),
    ]


def test_a_moved_file_is_the_gone_one(settings: Settings) -> None:
    write(settings, sql__v_v001_sql=V, routines__a__v_sql=V)
    assert {n: one.name for n, one in moved(changed_routines(settings)).items()} == {"a.v": "v"}


@pytest.mark.parametrize("text", ["", "\n", "-- later\n", "/* a */ ;"])
def test_a_file_without_statements_is_not_gone(settings: Settings, text: str) -> None:
    write(settings, routines__v_sql=text)
    with pytest.raises(
        SourceError, match=r"^routines/v\.sql: there is no statement in this file"
    ):
        changed_routines(settings)
    write(settings, sql__v_v001_sql=V)
    with pytest.raises(SourceError, match="dropped by alembic pgpipe wrap --drop"):
        changed_routines(settings)


@pytest.mark.parametrize("line", ["begin, written", "end", "not run", "a.b v001", "a v001\r"])
def test_marks_are_for_snapshots(settings: Settings, line: str) -> None:
    write(settings, routines__v_sql=f"-- a\n-- wrap: {line}\n{V}")
    with pytest.raises(SourceError, match=r"^routines/v\.sql:2:1: this comment is kept for"):
        changed_routines(settings)


def test_two_files_of_one_name_are_told_apart(settings: Settings) -> None:
    write(settings, routines__a__v_sql=V, routines__a_v_sql=V)
    with pytest.raises(
        SourceError, match=r"^routines/a/v\.sql: its .* of routines/a\.v\.sql; "
    ):
        changed_routines(settings)
