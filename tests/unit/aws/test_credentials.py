"""What stands in a host's name, and what is typed where credentials are not accepted."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import make_url

from alembic_pgpipe.access import Access
from alembic_pgpipe.aws.credentials import ByToken, InSecret, region_of_host
from alembic_pgpipe.aws.iam import IamAuth
from alembic_pgpipe.aws.secret_reference import read_reference
from alembic_pgpipe.aws.secrets import Aws
from alembic_pgpipe.connect.credentials import Given

HERE = make_url("postgresql+psycopg2://app@db/shop")


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("shop.abc123.eu-west-1.rds.amazonaws.com", "eu-west-1"),
        ("shop.cluster-abc.us-gov-west-1.rds.amazonaws.com", "us-gov-west-1"),
        ("shop.cluster-ro-abc.ap-southeast-2.rds.amazonaws.com", "ap-southeast-2"),
        ("shop.proxy-abc.eu-central-1.rds.amazonaws.com", "eu-central-1"),
        ("shop.abc123.rds.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("db.internal", None),
        ("eu-west-1.rds.example.com", None),
    ],
)
def test_a_host_of_rds_tells_its_region(host: str, region: str | None) -> None:
    assert region_of_host(host) == region


def test_each_kind_of_credentials_has_its_own_next_step() -> None:
    aws = Aws({})
    assert "PGPASSWORD" in Given(Access(HERE)).advice("app")
    secret = InSecret(read_reference("rds!db-1", "x"), {}, aws)
    assert "describe-secret --secret-id 'rds!db-1'" in secret.advice("app")
    for token in (
        ByToken(HERE, IamAuth(None), {}, aws),
        InSecret(read_reference("shop?auth=iam", "x"), {}, aws),
    ):
        assert token.is_token
        assert 'GRANT rds_iam TO "app"' in token.advice("app")
        assert "rds-db:connect" in token.advice("app")
