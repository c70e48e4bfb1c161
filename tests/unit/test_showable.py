"""What may be shown: harmless, of bounded size, and without a secret or a part of one."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alembic_pgpipe.showable import (
    CARET,
    HARMFUL,
    NOTE,
    PICTURES,
    Bounds,
    as_sentences,
    bounded,
    harmless,
    left_out,
    redacted,
)

BOUNDS = Bounds(60, 40)
FEW_LINES = Bounds(400, 400, lines=6)
PIECES = (
    "  12 | SELECT nothing\n     |        ^\n  13 | FROM nowhere\n",
    "LINE 1: SELECT x\n               ^\n",
    "\n",
    "word ",
    "x" * 70,
    "ü 日本 😀\n",
    "^\n",
    left_out(1234) + "\n",
)
LINES = (
    ("failed: No file\n\tIs it there?\n", "failed: No file. Is it there?"),
    ("closed\n\tIt died\n\tbefore it answered.", "closed. It died before it answered."),
    ("at a failed: FATAL:  no\nat b failed: no\n", "at a failed: FATAL: no. at b failed: no"),
    ("  one\n\n  of:\n two", "one of: two"),
    ("", ""),
)
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=30), max_size=40).map("".join)
bounds = st.sampled_from((BOUNDS, FEW_LINES, Bounds(500, 100)))


def counted(text: str) -> int:
    """Return what the notes of a text say in all."""
    return sum(int(number.replace(",", "")) for number in NOTE.findall(text))


def parts(text: str) -> tuple[str, str]:
    """Return what is before the note that was put in, and what is behind it."""
    [note] = NOTE.finditer(text)
    return text[: note.start()], text[note.end() :]


@given(texts, bounds)
@example(PIECES[0] * 2 + "\n", FEW_LINES)
def test_a_text_is_no_longer_than_it_may_be(text: str, bounds: Bounds) -> None:
    kept = bounded(text, bounds)
    assert len(kept) <= bounds.most
    assert bounds.lines is None or kept.count("\n") <= bounds.lines + 1


@given(texts, bounds)
def test_what_is_shortened_stays_as_it_is(text: str, bounds: Bounds) -> None:
    kept = bounded(text, bounds)
    assert bounded(kept, bounds) == kept


@given(texts, bounds)
@example(PIECES[0] + PIECES[-1] + PIECES[0], FEW_LINES)
def test_a_text_of_bounded_size_is_left_alone(text: str, bounds: Bounds) -> None:
    left_alone = bounded(text, bounds) == text
    # What was shortened before has a line more, its note's.
    assert left_alone is bounds.hold(text) or (left_alone and NOTE.search(text))


@given(st.text(alphabet="ab \n^|", max_size=2_000), bounds)
def test_the_note_counts_what_is_left_out(text: str, bounds: Bounds) -> None:
    kept = bounded(text, bounds)
    if kept != text:
        head, tail = parts(kept)
        assert text.endswith(tail)
        assert text.startswith((head, head.removesuffix("\n")))
        own = len(head) if text.startswith(head) else len(head) - 1
        assert counted(kept) == len(text) - own - len(tail)


@given(st.lists(st.sampled_from(PIECES[:7]), min_size=30).map("".join), st.integers(1, 9))
def test_what_earlier_notes_say_is_counted_on(text: str, more: int) -> None:
    once = bounded(text, BOUNDS)
    again = bounded(once + text * more, BOUNDS)
    # A cut within a line adds a line break of its own.
    added = counted(again) + len(NOTE.sub("", again)) - len(text) * (more + 1)
    assert 0 <= added <= 2


@given(texts, bounds)
@example(PIECES[0] * 30, BOUNDS)
@example("".join((PIECES[0], PIECES[1], PIECES[6], PIECES[5])), FEW_LINES)
def test_no_caret_is_parted_from_its_line(text: str, bounds: Bounds) -> None:
    kept = bounded(text, bounds)
    if kept == text:
        return
    note = next(n for n in NOTE.finditer(kept) if n[0] not in text or counted(n[0]) != 1234)
    behind = kept[note.end() :]
    assert not CARET.match(behind), "a caret without its line"


def test_the_line_of_a_caret_that_is_left_out_is_left_out_too() -> None:
    pair = "  12 | SELECT nothing\n     |        ^\n"
    for before in range(BOUNDS.head):
        kept = bounded(f"{'-' * before}\n{pair}{'=' * 400}", BOUNDS)
        head, _ = parts(kept)
        assert ("nothing" in head) is ("^" in head), before


@given(texts, bounds)
def test_a_shortened_text_is_still_text(text: str, bounds: Bounds) -> None:
    assert bounded(text, bounds).encode().decode() == bounded(text, bounds)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb\rc", "a\nb␍c"),
        ("nul\x00, bell\x07, del\x7f", "nul, bell␇, del␡"),
        ("\x9b2J and \u202eabc\u2066", "\ufffd2J and \ufffdabc\ufffd"),
        ("no text: \udcff", "no text: \ufffd"),
        ("ü 日本 😀", "ü 日本 😀"),
    ],
)
def test_control_characters_are_shown_as_pictures(text: str, shown: str) -> None:
    assert harmless(text) == shown


def test_what_is_looked_for_is_what_is_replaced() -> None:
    found = {code for code in range(0x110000) if HARMFUL.match(chr(code))}
    assert found == {0, *PICTURES}


SECRET = "hunter2-hunter3"


@given(st.integers(0, 200), st.integers(0, 200))
def test_no_part_of_a_secret_is_left_at_a_cut(before: int, behind: int) -> None:
    text = bounded(f"{'.' * before}{SECRET * 12}{'.' * behind}", BOUNDS)
    shown = redacted(text, {SECRET})
    assert not re.search(r"[a-z0-9]{3}", NOTE.sub("", shown)), shown
    assert redacted(shown, {SECRET}) == shown


def test_a_longer_secret_is_hidden_before_one_that_it_holds() -> None:
    assert redacted("abc abcd", {"abc", "abcd"}) == "*** ***"


@pytest.mark.parametrize(("lines", "sentences"), LINES)
def test_lines_that_become_one_do_not_run_together(lines: str, sentences: str) -> None:
    assert as_sentences(lines) == sentences
