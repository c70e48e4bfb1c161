"""The recipes, each typed in an empty folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import URL

from alembic_pgpipe.scratch.server import ScratchServer
from tests.integration.typed import environment, examples, expect

PAGE = (Path(__file__).parents[2] / "docs/recipes.md").read_text("utf-8")
RECIPES = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)+)", PAGE, re.MULTILINE))
TYPED = {title: list(examples(text)) for title, text in RECIPES.items() if "$ " in text}
AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Ada"), ("EMAIL", "ada@example.com"))
}


@pytest.mark.parametrize("title", TYPED)
def test_a_recipe_does_what_it_shows(
    tmp_path: Path, database: URL, second_database: URL, scratch: ScratchServer, title: str
) -> None:
    environ = {**environment(database, scratch.binaries.folder), **AUTHOR}
    names = {"PGDATABASE=qa": database.database, "PGDATABASE=prod": second_database.database}
    for example in TYPED[title]:
        command = example.command
        for written, name in names.items():
            command = command.replace(f"{written} ", f"PGDATABASE={name} ")
        expect(type(example)(command, example.shown, example.code), tmp_path, environ)


def test_all_recipes_are_found() -> None:
    assert len(TYPED) == PAGE.count("\n## ") - 1
    assert all(TYPED.values())
