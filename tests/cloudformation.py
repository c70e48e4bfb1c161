"""CloudFormation for tests: read the template, lint it, find its statements of IAM."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[1]
TEMPLATE = REPOSITORY / "docs/aws/pipeline.yaml"


class Template(yaml.SafeLoader):
    """CloudFormation's YAML: ``!Ref X`` is read as ``{"Ref": "X"}``."""

    def short_form(self, name: str, node: yaml.Node) -> dict[str, Any]:
        """Return a function of CloudFormation in its long form."""
        if isinstance(node, yaml.SequenceNode):
            return {name: self.construct_sequence(node, deep=True)}
        return {name: self.construct_scalar(node)}  # type: ignore[arg-type]


Template.add_multi_constructor("!", Template.short_form)


@cache
def template() -> dict[str, Any]:
    """Return the pipeline's template."""
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text("utf-8"), Template)
    return found


def resources() -> dict[str, Any]:
    """Return the template's resources, by name."""
    found: dict[str, Any] = template()["Resources"]
    return found


def lint(*templates: Path) -> subprocess.CompletedProcess[str]:
    """Run cfn-lint, which asks nobody, over templates."""
    command = [str(Path(sys.executable).parent / "cfn-lint"), *map(str, templates)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def statements(part: Any) -> Iterator[dict[str, Any]]:
    """Yield what is allowed or denied anywhere in a part of the template."""
    if isinstance(part, dict):
        if "Effect" in part:
            yield part
        for inner in part.values():
            yield from statements(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from statements(inner)
