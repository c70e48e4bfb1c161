"""What is asked of AWS, answered by a stub: each refusal is a sentence with a next step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
    SSOTokenLoadError,
)
from botocore.stub import Stubber

from alembic_pgpipe.aws.secret_reference import SecretReference, read_reference
from alembic_pgpipe.aws.secrets import CONNECT_SECONDS, READ_SECONDS, TRIES, Aws, Endpoint
from alembic_pgpipe.errors import UnreachableError

REGION = "eu-west-1"
ENVIRON = {"AWS_REGION": REGION}
ARN = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:shop-AbCdEf"
INSTANCE = f"arn:aws:rds:{REGION}:123456789012:db:shop"
CLUSTER = f"arn:aws:rds:{REGION}:123456789012:cluster:shop"
SHOP = SecretReference("shop")
ROLE = "arn:aws:sts::123456789012:assumed-role/build/x"


class Stubs:
    """An AWS that answers what a test says, and nothing else."""

    def __init__(self) -> None:
        self.aws = Aws(ENVIRON)
        self.of: dict[str, Stubber] = {}
        options = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        for service in ("secretsmanager", "rds", "sts"):
            client = boto3.client(service, region_name=REGION, **options)
            self.of[service] = Stubber(client)
            self.of[service].activate()
            self.aws.clients[service, REGION] = client

    def refuses(self, code: str, said: str = "", operation: str = "get_secret_value") -> None:
        service = "rds" if operation.startswith("describe_db") else "secretsmanager"
        self.of[service].add_client_error(operation, code, said)

    def account_is(self, account: str | None) -> None:
        if account is None:
            self.of["sts"].add_client_error("get_caller_identity", "AccessDenied")
        else:
            self.of["sts"].add_response("get_caller_identity", {"Account": account})

    def tagged(self, **tags: str) -> None:
        found = [{"Key": f"aws:rds:primary{key}Arn", "Value": arn} for key, arn in tags.items()]
        self.of["secretsmanager"].add_response("describe_secret", {"Tags": found})


@pytest.fixture
def stubs() -> Iterator[Stubs]:
    made = Stubs()
    yield made
    for stubber in made.of.values():
        stubber.assert_no_pending_responses()


def refusal(
    stubs: Stubs, reference: SecretReference = SHOP, *, final: bool | None = None
) -> str:
    with pytest.raises(UnreachableError) as refused:
        stubs.aws.secret(reference)
    assert refused.value.exit_code == 5
    assert final in (None, refused.value.final)
    assert refused.value.__suppress_context__
    return str(refused.value)


# -- secrets ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "held"),
    [
        ({"SecretString": "text"}, "text"),
        ({"SecretBinary": b"bytes"}, b"bytes"),
        ({}, b""),
    ],
)
def test_text_and_bytes_are_given_as_they_are(
    stubs: Stubs, answer: dict[str, Any], held: str | bytes
) -> None:
    stubs.of["secretsmanager"].add_response("get_secret_value", answer, {"SecretId": "shop"})
    assert stubs.aws.secret(SHOP) == held


def test_a_version_that_is_named_is_asked_for(stubs: Stubs) -> None:
    reference = read_reference(f"shop?version_stage=AWSPREVIOUS&version_id={'a' * 32}", "x")
    stubs.of["secretsmanager"].add_response(
        "get_secret_value",
        {"SecretString": "text"},
        {"SecretId": "shop", "VersionStage": "AWSPREVIOUS", "VersionId": "a" * 32},
    )
    assert stubs.aws.secret(reference) == "text"


@pytest.mark.parametrize(
    ("environ", "reference", "region"),
    [
        ({"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-2"}, "s", "us-east-1"),
        ({"AWS_DEFAULT_REGION": "us-east-2"}, "s", "us-east-2"),
        ({"AWS_REGION": "us-east-1"}, "s?region=eu-west-1", "eu-west-1"),
        ({"AWS_REGION": "us-east-1"}, ARN, "eu-west-1"),
    ],
)
def test_the_arn_s_region_beats_the_environment_s(
    environ: dict[str, str], reference: str, region: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Session:
        def __init__(self, region_name: str | None) -> None:
            self.region = region_name

        def client(self, service: str, config: Any) -> Any:
            asked.append((service, self.region, config))
            raise NoCredentialsError

    monkeypatch.setattr(boto3.session, "Session", Session)
    with pytest.raises(UnreachableError):
        Aws(environ).secret(read_reference(reference, "x"))
    [(service, used, config)] = asked
    assert (service, used) == ("secretsmanager", region)
    limits = (config.connect_timeout, config.read_timeout, config.retries)
    assert limits == (CONNECT_SECONDS, READ_SECONDS, {"total_max_attempts": TRIES})


def test_a_client_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    aws = Aws({"AWS_REGION": REGION, "AWS_MAX_ATTEMPTS": "1"})
    for _ in range(2):
        aws.token("db", 5432, "app", None)
    assert list(aws.clients) == [("rds", REGION)]
    assert aws.token("db", 5432, "app", "us-east-1").startswith("db:5432/?")
    assert list(aws.clients) == [("rds", REGION), ("rds", "us-east-1")]


# -- refusals ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "where"),
    [("210987654321", "region eu-west-1 of account 210987654321"), (None, "region eu-west-1.")],
)
def test_a_secret_that_is_not_there_is_told_with_region_and_account(
    stubs: Stubs, account: str | None, where: str
) -> None:
    stubs.refuses(
        "ResourceNotFoundException", "Secrets Manager can't find the specified secret."
    )
    stubs.account_is(account)
    said = refusal(stubs)
    assert said.startswith("Secret 'shop' cannot be read: it is not in region eu-west-1")
    assert where in said
    assert "aws secretsmanager list-secrets --region eu-west-1" in said


def test_a_version_that_is_not_there_is_told_from_a_secret_that_is_not(stubs: Stubs) -> None:
    stubs.refuses(
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
    )
    stubs.account_is("123456789012")
    said = refusal(stubs)
    assert "it has no staging label: AWSCURRENT" in said
    assert "list-secret-version-ids --secret-id shop" in said


DENIED = (
    f"User: {ROLE} is not authorized to perform: secretsmanager:GetSecretValue on resource: "
    "shop because no {policy} allows the secretsmanager:GetSecretValue action"
)
ALLOW = '{"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "%s"}'


@pytest.mark.parametrize("policy", ["identity-based policy", "VPC endpoint policy"])
def test_what_is_denied_is_told_with_the_statement_that_is_missing(
    stubs: Stubs, policy: str
) -> None:
    stubs.refuses("AccessDeniedException", DENIED.format(policy=policy))
    said = refusal(stubs)
    arn = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:shop-??????"
    assert f"Allow it in the {policy}: {ALLOW % arn}" in said


def test_a_statement_has_the_arn_that_is_known(stubs: Stubs) -> None:
    stubs.refuses("AccessDeniedException", "not authorized")
    stubs.account_is(None)
    assert f"Allow it in the role's policy: {ALLOW % ARN}" in refusal(
        stubs, read_reference(ARN, "")
    )


def test_a_statement_has_the_account_that_was_asked(stubs: Stubs) -> None:
    stubs.refuses("AccessDeniedException", "not authorized")
    stubs.account_is("210987654321")
    assert ":210987654321:secret:shop-??????" in refusal(stubs)


def test_an_explicit_deny_is_not_answered_with_a_statement(stubs: Stubs) -> None:
    stubs.refuses(
        "AccessDeniedException",
        "not authorized with an explicit deny in a service control policy",
    )
    stubs.account_is(None)
    said = refusal(stubs)
    assert "an explicit deny forbids it" in said
    assert "Allow" not in said


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("AccessDeniedException", "Access to KMS is not allowed"),
        ("DecryptionFailure", "Secrets Manager can't decrypt the protected secret text"),
    ],
)
def test_a_key_that_does_not_decrypt_names_its_permission(
    stubs: Stubs, code: str, text: str
) -> None:
    stubs.refuses(code, text)
    if code == "AccessDeniedException":
        stubs.account_is(None)
    said = refusal(stubs)
    assert "its key does not decrypt it" in said
    assert '"Action": "kms:Decrypt"' in said
    assert '"kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com"' in said
    assert "--query KmsKeyId" in said


@pytest.mark.parametrize(
    ("code", "text", "said"),
    [
        ("InvalidRequestException",
         "You can't perform this operation on the secret because it was marked for deletion.",
         "aws secretsmanager restore-secret --secret-id shop --region eu-west-1"),
        ("InvalidRequestException", "You provided a VersionStage that is not associated",
         "not associated. Check version_stage and version_id"),
        ("InvalidParameterException", "Invalid name", "Check the secret's name and version"),
        ("ValidationException", "1 validation error", "Check the secret's name and version"),
        ("ExpiredTokenException", "The security token included in the request is expired",
         "credentials have expired. In CodeBuild start the build again"),
        ("ExpiredToken", "", "aws sso login"),
        ("UnrecognizedClientException", "The security token included is invalid",
         "AWS does not know these credentials (The security token included is invalid)"),
        ("InvalidClientTokenId", "", "aws sts get-caller-identity"),
        ("InvalidSignatureException", "Signature expired", "or this clock is"),
        ("ThrottlingException", "Rate exceeded", "takes no more requests now (Rate exceeded)"),
        ("InternalServiceError", "", "AWS has an error of its own"),
        ("SomethingNew", "words", "AWS refuses (SomethingNew: words)"),
    ],
)  # fmt: skip
def test_a_refusal_of_the_service_has_its_own_next_step(
    stubs: Stubs, code: str, text: str, said: str
) -> None:
    stubs.refuses(code, text)
    told = refusal(stubs)
    assert told.startswith("Secret 'shop' cannot be read: ")
    assert said in told


URL = "https://secretsmanager.eu-west-1.amazonaws.com/"
BEFORE_ANYTHING_IS_SENT: list[tuple[Exception, str]] = [
    (NoCredentialsError(), "there are no AWS credentials. In CI give the build a role"),
    (PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"),
     "missing: AWS_SECRET_ACCESS_KEY. Mend"),
    (NoRegionError(), "no AWS region is known. Set AWS_REGION"),
    (ProfileNotFound(profile="shop"), "(shop) could not be found. Check AWS_PROFILE"),
    (CredentialRetrievalError(provider="custom-process", error_msg="hidden"),
     "their source has failed"),
    (SSOTokenLoadError(error_msg="hidden"), "aws sso login"),
    (EndpointConnectionError(endpoint_url=URL), "a NAT gateway, or an interface endpoint"),
    (ProxyConnectionError(proxy_url="http://proxy"), "AWS cannot be reached"),
    (ConnectTimeoutError(endpoint_url=URL), "does not answer in time (Connect timeout"),
    (ReadTimeoutError(endpoint_url=URL), "does not answer in time (Read timeout"),
    (SSLError(endpoint_url=URL, error="self-signed certificate"), "set AWS_CA_BUNDLE"),
    (ValueError("Invalid endpoint: nonsense"), "Check AWS_ENDPOINT_URL"),
    (BotoCoreError(), "AWS refuses (BotoCoreError"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "said"),
    BEFORE_ANYTHING_IS_SENT,
    ids=[type(error).__name__ for error, _ in BEFORE_ANYTHING_IS_SENT],
)
def test_what_boto3_raises_by_itself_has_its_own_next_step(
    stubs: Stubs, error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(stubs.aws.clients["secretsmanager", REGION], "get_secret_value", fail)
    told = refusal(stubs)
    assert said in told
    assert "hidden" not in told


@pytest.mark.parametrize(
    ("code", "final"),
    [
        ("ThrottlingException", False),
        ("InternalServiceError", False),
        ("DecryptionFailure", True),
        ("ExpiredTokenException", True),
        ("SomethingNew", True),
    ],
)
def test_a_refusal_tells_whether_waiting_helps(stubs: Stubs, code: str, final: bool) -> None:
    stubs.refuses(code)
    refusal(stubs, final=final)


# -- secrets that RDS manages -----------------------------------------------------------


def test_an_instance_is_looked_up_once(stubs: Stubs) -> None:
    stubs.tagged(DBInstance=INSTANCE)
    found = {"Engine": "postgres", "DBName": "orders"}
    endpoint = {"Endpoint": {"Address": "shop.x.eu-west-1.rds.amazonaws.com", "Port": 5433}}
    stubs.of["rds"].add_response(
        "describe_db_instances",
        {"DBInstances": [found | endpoint]},
        {"DBInstanceIdentifier": INSTANCE},
    )
    expected = Endpoint("shop.x.eu-west-1.rds.amazonaws.com", 5433, "orders")
    assert stubs.aws.endpoint(SHOP) == expected
    assert stubs.aws.endpoint(SHOP) == expected


def test_a_cluster_is_looked_up(stubs: Stubs) -> None:
    stubs.tagged(DBCluster=CLUSTER)
    found = {"Engine": "aurora-postgresql", "Endpoint": "shop.cluster-x", "Port": 5432}
    stubs.of["rds"].add_response(
        "describe_db_clusters", {"DBClusters": [found]}, {"DBClusterIdentifier": CLUSTER}
    )
    assert stubs.aws.endpoint(SHOP) == Endpoint("shop.cluster-x", 5432, None)


def lookup_refusal(stubs: Stubs) -> str:
    with pytest.raises(UnreachableError) as refused:
        stubs.aws.endpoint(SHOP)
    return str(refused.value)


INSTEAD = "secretsmanager://shop?host=…&port=…&database=…, or PGHOST"


def test_a_secret_that_nobody_has_tagged_says_how_to_name_the_host(stubs: Stubs) -> None:
    stubs.tagged()
    assert INSTEAD in lookup_refusal(stubs)


def test_a_look_up_that_is_denied_names_its_statement(stubs: Stubs) -> None:
    stubs.refuses("AccessDeniedException", f"User: {ROLE} may not", "describe_secret")
    said = lookup_refusal(stubs)
    assert '"Action": "secretsmanager:DescribeSecret"' in said
    assert INSTEAD in said


def test_a_database_that_may_not_be_described_names_its_statement(stubs: Stubs) -> None:
    stubs.tagged(DBInstance=INSTANCE)
    stubs.refuses("AccessDenied", f"User: {ROLE} may not", "describe_db_instances")
    said = lookup_refusal(stubs)
    assert f'"Action": "rds:DescribeDBInstances", "Resource": "{INSTANCE}"' in said
    assert INSTEAD in said


def test_a_database_that_is_gone_is_named(stubs: Stubs) -> None:
    stubs.tagged(DBCluster=CLUSTER)
    stubs.refuses("DBClusterNotFoundFault", "DBCluster shop not found.", "describe_db_clusters")
    stubs.account_is("123456789012")
    said = lookup_refusal(stubs)
    assert f"{CLUSTER} is not in region eu-west-1 of account 123456789012" in said


def test_another_engine_is_refused(stubs: Stubs) -> None:
    stubs.tagged(DBInstance=INSTANCE)
    stubs.of["rds"].add_response(
        "describe_db_instances", {"DBInstances": [{"Engine": "mariadb"}]}
    )
    assert "is for engine 'mariadb'" in lookup_refusal(stubs)


def test_a_database_that_is_still_being_made_is_told(stubs: Stubs) -> None:
    stubs.tagged(DBInstance=INSTANCE)
    stubs.of["rds"].add_response(
        "describe_db_instances", {"DBInstances": [{"Engine": "postgres"}]}
    )
    assert "has no endpoint yet" in lookup_refusal(stubs)
