"""The page about AWS: what it says of the template and of the aws command is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import botocore.session
from botocore import xform_name

from tests.cloudformation import REPOSITORY, lint, resources, statements, template

PAGE = (REPOSITORY / "docs/aws/README.md").read_text("utf-8")
COMMAND = re.compile(r"\baws ([a-z]+) ([a-z-]+)((?:[^`\n\\]|\\\n|`[A-Z]+`)*)")
# The command line's own, which no API has.
MADE_UP = {("cloudformation", "deploy"), ("logs", "tail")}


def block(language: str, word: str = "") -> str:
    """Return the first code block in a language that holds a word."""
    blocks: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
    )
    return next(text for text in blocks if word in text)


def options(text: str) -> set[str]:
    return set(re.findall(r"--([a-z-]+)", text))


def test_the_command_that_deploys_gives_each_parameter_that_is_needed() -> None:
    given = set(re.findall(r"^ +(\w+)=", block("bash", "deploy"), re.MULTILINE))
    parameters = template()["Parameters"]
    needed = {name for name, body in parameters.items() if "Default" not in body}
    assert needed <= given <= set(parameters)


def test_the_parameters_that_may_be_added_exist() -> None:
    table = PAGE.partition("| parameter | when |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`([A-Z]\w+)(?:=[^`]*)?`(?=[^|]*\|[^|]*\|$)", table, re.MULTILINE))
    optional = {k for k, body in template()["Parameters"].items() if "Default" in body}
    assert len(named) > 5
    assert named <= optional


def test_each_statement_is_explained() -> None:
    roles = {k: v for k, v in resources().items() if v["Type"].startswith("AWS::IAM::")}
    sids = {s["Sid"] for s in statements(roles) if "Sid" in s}
    assert [sid for sid in sorted(sids) if f"`{sid}`" not in PAGE] == []


def test_the_statement_for_iam_authentication_is_lawful(tmp_path: Path) -> None:
    policy = {"Version": "2012-10-17", "Statement": [json.loads(block("json"))]}
    body = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": policy}}
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"Resources": {"Policy": body}}), "utf-8")
    assert lint(path).stdout == ""


def test_the_aws_commands_have_the_options_that_they_are_given() -> None:
    session = botocore.session.get_session()
    asked = [match for match in COMMAND.findall(PAGE) if match[:2] not in MADE_UP]
    assert len(asked) >= 5
    for service, command, rest in asked:
        model = session.get_service_model(service)
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        assert command in operations, f"aws {service} {command}"
        shape = model.operation_model(operations[command]).input_shape
        members = {xform_name(member, "-") for member in shape.members}
        assert options(rest) <= members | {"query"}, f"aws {service} {command}{rest}"
