"""Whatever wrap writes around a working copy's text, the text can be read again."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from alembic_pgpipe.errors import SourceError
from alembic_pgpipe.routines.composed import (
    Copied,
    Section,
    Told,
    Written,
    bare,
    composed,
    followed,
    spliced,
)
from alembic_pgpipe.routines.sections import copied_text, is_plain, sections
from alembic_pgpipe.source.reader import read_statements, without_comments

PIECES = (
    *("CREATE VIEW v AS SELECT 1", "GRANT SELECT ON v TO r", "COMMENT ON VIEW v IS 'x;'", ";"),
    *(
        "CREATE FUNCTION f() RETURNS int AS $$;--\n$$ LANGUAGE sql",
        "SELECT 1",
        "BEGIN",
        "CREATE",
    ),
    *("\n", "\r\n", "\r", " ", "-- c", "-- c\n", "/* c */", "--|", "-- wrap: ", "'", "$$", "é"),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text()
BEFORE, BETWEEN = "DROP VIEW v;", "SELECT 'between';"


def told(text: str) -> list[str]:
    """Return the statements without what may change about them: comments, semicolons."""
    bodies = (
        without_comments(s).rstrip("; \t\r\n\f\v") for s in read_statements(text, "f.sql")
    )
    return [" ".join(body.split()) for body in bodies]


@given(TEXTS)
def test_the_text_that_was_spliced_can_be_read_again(text: str) -> None:
    try:
        parts = spliced(text, "f.sql", BEFORE, BETWEEN)
    except SourceError:
        assume(False)
    assert copied_text(composed(parts)) == text
    assert not is_plain(composed(parts))


@given(TEXTS)
def test_statements_stay_apart_from_those_around_them(text: str) -> None:
    try:
        parts = spliced(text, "f.sql", BEFORE, BETWEEN)
        own = told(text)
    except SourceError:
        assume(False)
    whole = composed((*parts, Section("next", 1), Copied("SELECT 'next';")))
    found = told(whole)
    others = [one.rstrip(";") for one in (BEFORE, BETWEEN, "SELECT 'next';")]
    assert sorted(found) == sorted((*own, *others))
    assert [one for one in found if one not in others] == [o for o in own if o not in others]


@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_each_section_can_be_read_again(texts: list[str]) -> None:
    parts: list[Section | Told] = []
    for number, text in enumerate(texts, 1):
        parts += (Section(f"a.é {number}", number), Told(text))
    found = list(sections(composed(parts)))
    assert found == [(f"a.é {n}", n, text) for n, text in enumerate(texts, 1)]


@given(TEXTS)
def test_a_text_that_is_told_is_not_run(text: str) -> None:
    assert read_statements(composed([Told(text)]), "f.sql") == ()


@pytest.mark.parametrize("text", ["CREATE VIEW v AS SELECT 1;\n", "a\nb", ""])
def test_a_checkout_with_other_line_ends_tells_the_same(text: str) -> None:
    parts = (Copied(text), Written("SELECT 1;"), Copied(text), Told(text))
    there = composed((Section("f", 1), *parts)).replace("\n", "\r\n")
    expected = text.replace("\n", "\r\n") * 3
    assert list(sections(there)) == [("f", 1, expected)]
    assert not is_plain(there)


def test_bare_leaves_rights_and_comments_out() -> None:
    text = "CREATE VIEW v AS SELECT 1;\nALTER VIEW v OWNER TO r;\nGRANT SELECT ON v TO r"
    assert bare(text, "f.sql") == "CREATE VIEW v AS SELECT 1;\n"


@pytest.mark.parametrize("line", ["BEGIN;", "SET search_path = a;"])
def test_control_is_refused_with_its_place(line: str) -> None:
    with pytest.raises(SourceError, match=r"^f\.sql:2:1: "):
        spliced(f"\n{line}", "f.sql", "", "")


def test_a_source_of_somebody_elses_has_no_sections() -> None:
    assert list(sections("CREATE TABLE t ();\n")) == []


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("SELECT 1;\n", "SELECT 1;\n\nMORE;"),
        ("SELECT 1 -- one", "SELECT 1 -- one\n;\nMORE;"),
        ("-- nothing\n", "-- nothing\n\nMORE;"),
        ("BEGIN;\nSELECT 1;\nCOMMIT;\n", "BEGIN;\nSELECT 1;\nMORE;COMMIT;\n"),
    ],
)
def test_what_follows_a_text_is_in_its_transaction(text: str, whole: str) -> None:
    assert followed(text, "MORE;") == whole
