"""What AWS says → a sentence, with the statement and the command that fit the place."""

from __future__ import annotations

import json

import pytest

from alembic_pgpipe.aws.refusal import ADVICE, Asked, connect_statement, explain, passes

GET = "secretsmanager:GetSecretValue"


def asked(resource: str = "shop", region: str | None = "eu-west-1") -> Asked:
    return Asked(f"Secret {resource!r} cannot be read", GET, resource, region)


@pytest.mark.parametrize("kind", [*sorted(ADVICE), "SomethingNew"])
@pytest.mark.parametrize("said", ["", "Some words."])
def test_every_refusal_names_the_secret_and_something_to_do(kind: str, said: str) -> None:
    text = explain(asked(), kind, said)
    assert text.startswith("Secret 'shop' cannot be read: ")
    assert len(text) > len("Secret 'shop' cannot be read: ") + 40
    assert "None" not in text
    assert ": ." not in text and ": :" not in text and "()" not in text


def test_long_words_of_aws_are_cut() -> None:
    assert len(explain(asked(), "SomethingNew", "x" * 5000)) < 700


def test_another_way_out_comes_last() -> None:
    text = explain(
        Asked("Secret 's' holds no host", GET, "s", "eu-west-1", instead="Or do this."),
        "ThrottlingException",
        "Rate exceeded.",
    )
    assert text.endswith("Run it again in a minute. Or do this.")


def test_a_name_that_a_shell_would_change_is_quoted() -> None:
    text = explain(asked("rds!db-1"), "InvalidRequestException", "was marked for deletion")
    assert text.endswith("restore-secret --secret-id 'rds!db-1' --region eu-west-1")


@pytest.mark.parametrize(
    ("region", "partition", "domain"),
    [
        ("eu-west-1", "aws", "amazonaws.com"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
    ],
)
def test_statements_are_for_the_partition_of_the_region(
    region: str, partition: str, domain: str
) -> None:
    allow = statement_in(explain(asked(region=region), "AccessDenied", ""))
    assert allow["Resource"] == f"arn:{partition}:secretsmanager:{region}:*:secret:shop-??????"
    decrypt = statement_in(explain(asked(region=region), "DecryptionFailure", ""))
    assert decrypt["Resource"] == f"arn:{partition}:kms:{region}:*:key/KEY-ID"
    through = {"kms:ViaService": f"secretsmanager.{region}.{domain}"}
    assert decrypt["Condition"] == {"StringEquals": through}


def test_a_key_that_aws_names_is_in_the_statement() -> None:
    key = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    said = f"User: x is not authorized to perform: kms:Decrypt on resource: {key} because no …"
    text = explain(asked(), "AccessDeniedException", said)
    assert statement_in(text)["Resource"] == key


def statement_in(text: str) -> dict[str, object]:
    """Return the IAM statement that a message has, read as JSON."""
    found, _ = json.JSONDecoder().raw_decode(text[text.index("{") :])
    assert isinstance(found, dict)
    assert found["Effect"] == "Allow"
    return found


def test_a_role_is_allowed_to_connect_as_its_user() -> None:
    assert (
        json.loads(connect_statement(None, "app"))["Resource"]
        == "arn:aws:rds-db:*:*:dbuser:*/app"
    )


@pytest.mark.parametrize(
    ("kind", "passing"),
    [
        ("ThrottlingException", True),
        ("InternalServiceError", True),
        ("EndpointConnectionError", True),
        ("ReadTimeoutError", True),
        ("ResourceNotFoundException", False),
        ("NoCredentialsError", False),
        ("SomethingNew", False),
    ],
)
def test_only_what_may_be_over_in_a_minute_is_waited_for(kind: str, passing: bool) -> None:
    assert passes(kind) is passing
