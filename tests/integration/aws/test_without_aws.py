"""Whoever needs nothing of AWS never waits for boto3 to be imported."""

from __future__ import annotations

import pytest

from tests.imported import imported
from tests.integration.aws.conftest import FakeAws, Shop
from tests.project import Project

OF_AWS = frozenset({"alembic_pgpipe.aws.secrets", "boto3", "botocore"})


@pytest.mark.parametrize("arguments", [["upgrade", "head"], ["pgpipe", "status"], ["current"]])
def test_a_url_imports_nothing_of_aws(project: Project, arguments: list[str]) -> None:
    project.wrapped(a="CREATE TABLE a ();\n")
    assert not imported(project, *arguments) & OF_AWS


def test_a_secret_imports_it(aws: FakeAws, shop: Shop, project: Project) -> None:
    project.url = f"secretsmanager://{aws.secret(shop.fields())}"
    project.configure()
    assert imported(project, "current") >= OF_AWS
