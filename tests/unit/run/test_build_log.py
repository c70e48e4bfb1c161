"""The build log: what a line may not hold."""

from __future__ import annotations

import json
from urllib.parse import quote_plus

import pytest
from sqlalchemy import URL

from alembic_pgpipe.run.build_log import harmless, spellings


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("a\tb\nc", "a\tb\nc"),
        ("a\r\nb\rc", "a\nb␍c"),
        ("nul\x00, bell\x07, del\x7f", "nul, bell␇, del␡"),
        ("\x9b2J and \u202eabc\u2066", "\ufffd2J and \ufffdabc\ufffd"),
        ("ü 日本 😀", "ü 日本 😀"),
    ],
)
def test_control_characters_are_shown_as_pictures(text: str, shown: str) -> None:
    assert harmless(text) == shown


SECRET = "a\"b'c\\d/e@f%g\u00e9"


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        SECRET.replace("'", "''"),
        repr(SECRET),
        json.dumps({"password": SECRET}),
        json.dumps({"password": SECRET}, ensure_ascii=False),
        URL.create("postgresql", "app", SECRET, "db").render_as_string(hide_password=False),
        quote_plus(SECRET),
    ],
    ids=["as it is", "SQL", "Python", "JSON", "JSON in Unicode", "URL", "form"],
)
def test_a_secret_is_known_however_it_is_written(text: str) -> None:
    assert any(spelling in text for spelling in spellings(SECRET))
