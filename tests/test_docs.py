"""The reference is made from the commands, and no link leads nowhere."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
PAGES = [*REPOSITORY.glob("*.md"), *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\((?!\w+:)([^)\s]+)\)")
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def test_the_reference_is_what_the_commands_say() -> None:
    module = _load(DOCS / "cli_reference.py")
    written = (DOCS / "cli.md").read_text("utf-8")
    assert written == module.cli_reference(), "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    assert [link for link in _links(page) if not _leads_somewhere(page, link)] == []


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Of two words\n[a](page.md) [b](#of-two-words) [c](gone.md) [d](#gone)\n")
    wrong = [link for link in _links(page) if not _leads_somewhere(page, link)]
    assert wrong == ["gone.md", "#gone"]


def _links(page: Path) -> Iterator[str]:
    yield from LINK.findall(CODE.sub("", page.read_text("utf-8")))


def _leads_somewhere(page: Path, link: str) -> bool:
    file, _, heading = link.partition("#")
    target = page.parent / file if file else page
    return target.exists() and (not heading or heading in _anchors(target))


def _anchors(page: Path) -> set[str]:
    """Return the headings of a page as GitHub spells them in a link."""
    headings = HEADING.findall(CODE.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
