"""The reference of the commands is made from the commands."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).parents[1] / "docs"


def test_the_reference_is_what_the_commands_say() -> None:
    module = _load(DOCS / "cli_reference.py")
    written = (DOCS / "cli.md").read_text("utf-8")
    assert written == module.cli_reference(), "run: make docs"


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
