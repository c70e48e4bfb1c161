"""The CloudFormation template: lawful, its stages alike, its roles narrow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cloudformation import REPOSITORY, TEMPLATE, lint, resources, statements

STAGES = ("Dev", "Qa", "Prod")
# One slip each: in a property's value, its presence, a reference, an action of IAM.
SLIPS = {
    "value": ("ExecutionMode: QUEUED", "ExecutionMode: ONE_BY_ONE"),
    "presence": ("ServiceRole: !GetAtt QaRole.Arn", "Cache: {Type: NO_CACHE}"),
    "reference": ("Resource: !Ref ProdSecretArn", "Resource: !Ref ProdSecret"),
    "action": ("secretsmanager:GetSecretValue", "secretsmanager:ReadSecretValue"),
}


def of_stage(stage: str) -> str:
    """Return what the template says of one stage, with the stage's name taken out."""
    pipeline = resources()["Pipeline"]["Properties"]["Stages"]
    deploy = next(s for s in pipeline if s["Name"] == stage.upper())["Actions"][-1]
    own = {name: body for name, body in resources().items() if name.startswith(stage)}
    text = json.dumps([own, deploy | {"RunOrder": None}], indent=1)
    for spelling in (stage, stage.upper(), stage.lower()):
        text = text.replace(spelling, "STAGE")
    return text


def test_the_template_is_lawful() -> None:
    done = lint(TEMPLATE)
    assert done.returncode == 0, done.stdout
    assert done.stdout == ""


def test_a_template_with_a_slip_is_refused(tmp_path: Path) -> None:
    text = TEMPLATE.read_text("utf-8")
    broken = [tmp_path / f"{name}.yaml" for name in SLIPS]
    for path, (right, wrong) in zip(broken, SLIPS.values(), strict=True):
        assert right in text
        path.write_text(text.replace(right, wrong), "utf-8")
    done = lint(*broken)
    assert done.returncode != 0
    assert [path.stem for path in broken if str(path) not in done.stdout] == []


@pytest.mark.parametrize("stage", STAGES[1:])
def test_the_stages_differ_in_nothing_but_their_names(stage: str) -> None:
    assert of_stage(stage) == of_stage("Dev")


def test_each_stage_may_read_its_own_secret_and_no_other() -> None:
    for stage in STAGES:
        secrets = [
            statement["Resource"]
            for statement in statements(resources()[f"{stage}Role"])
            if "secretsmanager:GetSecretValue" in statement["Action"]
        ]
        assert secrets == [{"Ref": f"{stage}SecretArn"}]
    others = {k: v for k, v in resources().items() if k.removesuffix("Role") not in STAGES}
    assert "secretsmanager" not in json.dumps(others)


def test_only_what_ec2_has_no_resources_for_is_allowed_everywhere() -> None:
    wide = [s["Sid"] for s in statements(resources()) if s.get("Resource") == "*"]
    assert wide == ["JoinTheVpc"]
    actions = [s["Action"] for s in statements(resources()) if s["Effect"] == "Allow"]
    assert "*" not in json.dumps(actions)


def test_one_build_at_a_time_and_none_overtakes_another() -> None:
    pipeline = resources()["Pipeline"]["Properties"]
    assert (pipeline["PipelineType"], pipeline["ExecutionMode"]) == ("V2", "QUEUED")
    limits = [resources()[stage]["Properties"]["ConcurrentBuildLimit"] for stage in STAGES]
    assert limits == [1, 1, 1]


def test_qa_and_prod_wait_for_an_approval() -> None:
    stages = resources()["Pipeline"]["Properties"]["Stages"]
    order = {
        stage["Name"]: [
            a["Name"] for a in sorted(stage["Actions"], key=lambda a: a["RunOrder"])
        ]
        for stage in stages
    }
    assert order == {
        "Source": ["Source"],
        "DEV": ["Deploy"],
        "QA": ["Approve", "Deploy"],
        "PROD": ["Approve", "Deploy"],
    }


def test_each_project_runs_the_buildspec_that_init_writes() -> None:
    named = {resources()[stage]["Properties"]["Source"]["BuildSpec"] for stage in STAGES}
    assert named == {"buildspec.yaml"}
    assert (REPOSITORY / "alembic_pgpipe/templates/buildspec.yaml").is_file()
