"""What the script template asks for."""

from __future__ import annotations

import ast

import pytest

from alembic_pgpipe.revisions.template import in_docstring


@pytest.mark.parametrize("text", ["a\\b", '"""', 'say "hi"', "\\x", '\\"""', "it's", "\\"])
def test_any_message_can_stand_in_a_docstring(text: str) -> None:
    assert ast.literal_eval(f'"""{in_docstring(text)}\n"""') == f"{text}\n"
