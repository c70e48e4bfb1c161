"""The README's commands, typed one after the other in an empty folder."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL

from tests.integration.typed import environment, examples, expect

README = Path(__file__).parents[2] / "README.md"


def test_every_command_of_the_readme_does_what_it_shows(tmp_path: Path, database: URL) -> None:
    environ = environment(database)
    typed = list(examples(README.read_text("utf-8")))
    assert len(typed) > 20
    for example in typed:
        expect(example, tmp_path, environ)
