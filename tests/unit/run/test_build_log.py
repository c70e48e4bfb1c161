"""The build log: what a line may not hold."""

from __future__ import annotations

import pytest

from alembic_pgpipe.run.build_log import harmless


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
