"""What is asked of AWS; the only user of boto3, which is imported when something is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from alembic_pgpipe.aws.refusal import Asked, explain, needs_account, passes
from alembic_pgpipe.aws.secret_reference import SecretReference
from alembic_pgpipe.aws.secret_shape import refuse_engine
from alembic_pgpipe.errors import UnreachableError

CONNECT_SECONDS = 5
READ_SECONDS = 10
TRIES = 3
# Who asked makes a message better; nobody should wait for it.
IDENTITY_SECONDS = 2
INSTANCE_TAG = "aws:rds:primaryDBInstanceArn"
CLUSTER_TAG = "aws:rds:primaryDBClusterArn"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a database of RDS is reached, and the database that it was made with."""

    host: str
    port: int
    database: str | None


@dataclass(frozen=True, slots=True)
class Aws:
    """AWS as one process asks it: a client is made once for each service and region.

    ``clients`` are kept by both; a region that is not named is the environment's.
    """

    environ: Mapping[str, str]
    clients: dict[tuple[str, str | None], Any] = field(default_factory=dict, repr=False)
    _endpoints: dict[str, Endpoint] = field(default_factory=dict, repr=False)

    def secret(self, reference: SecretReference) -> str | bytes:
        """Return what a secret holds now.

        Raises UnreachableError, without a word of the secret's value, where it cannot be
        had.
        """
        asked = self._asked("cannot be read", "GetSecretValue", reference)
        version = {"VersionStage": reference.version_stage, "VersionId": reference.version_id}
        given = {name: value for name, value in version.items() if value is not None}
        with self._refusals(asked):
            client = self._client("secretsmanager", asked.region)
            answer = client.get_secret_value(SecretId=reference.name, **given)
        text: str | None = answer.get("SecretString")
        return bytes(answer.get("SecretBinary", b"")) if text is None else text

    def endpoint(self, reference: SecretReference) -> Endpoint:
        """Return where the database is whose secret RDS manages; looked up once.

        Raises UnreachableError where the secret does not say which database it is for, or
        RDS does not know it.
        """
        if reference.name not in self._endpoints:
            self._endpoints[reference.name] = self._look_up(reference)
        return self._endpoints[reference.name]

    def token(self, host: str, port: int, user: str, region: str | None) -> str:
        """Return a fresh token of RDS in place of a password; nothing is sent for it.

        Raises UnreachableError where there are no credentials, or no region is known.
        """
        region = region or self._own_region()
        what = f"A token for {user} on {host} cannot be made"
        with self._refusals(Asked(what, "rds-db:connect", user, region)):
            client = self._client("rds", region)
            token: str = client.generate_db_auth_token(
                DBHostname=host, Port=port, DBUsername=user, Region=region
            )
        return token

    def _look_up(self, reference: SecretReference) -> Endpoint:
        asked = self._asked("holds no host", "DescribeSecret", reference)
        asked = replace(asked, instead=_instead(reference))
        with self._refusals(asked):
            client = self._client("secretsmanager", asked.region)
            tags = client.describe_secret(SecretId=reference.name).get("Tags", ())
        found = {tag["Key"]: tag["Value"] for tag in tags}
        for tag, describe in ((CLUSTER_TAG, self._cluster), (INSTANCE_TAG, self._instance)):
            if tag in found:
                return describe(reference, found[tag])
        raise UnreachableError(
            f"Secret {reference.name!r} holds no host, and no tag of RDS says which database "
            f"it is for. {asked.instead}",
            final=True,
        )

    def _instance(self, reference: SecretReference, arn: str) -> Endpoint:
        with self._refusals(_of_rds(reference, "DescribeDBInstances", arn)):
            client = self._client("rds", _region_of(arn))
            answer = client.describe_db_instances(DBInstanceIdentifier=arn)
        found = answer["DBInstances"][0]
        refuse_engine(reference.name, found["Engine"])
        where = found.get("Endpoint") or {}
        return _endpoint(
            reference, where.get("Address"), where.get("Port"), found.get("DBName")
        )

    def _cluster(self, reference: SecretReference, arn: str) -> Endpoint:
        with self._refusals(_of_rds(reference, "DescribeDBClusters", arn)):
            client = self._client("rds", _region_of(arn))
            answer = client.describe_db_clusters(DBClusterIdentifier=arn)
        found = answer["DBClusters"][0]
        refuse_engine(reference.name, found["Engine"])
        return _endpoint(
            reference, found.get("Endpoint"), found.get("Port"), found.get("DatabaseName")
        )

    def _asked(self, what: str, operation: str, reference: SecretReference) -> Asked:
        region = reference.region or self._own_region()
        return Asked(
            f"Secret {reference.name!r} {what}",
            f"secretsmanager:{operation}",
            reference.name,
            region,
        )

    def _own_region(self) -> str | None:
        """Return the environment's region; boto3 itself does not look at AWS_REGION."""
        return self.environ.get("AWS_REGION") or self.environ.get("AWS_DEFAULT_REGION") or None

    def _client(self, service: str, region: str | None, **limits: Any) -> Any:
        key = (service, region)
        if key not in self.clients:
            import boto3
            from botocore.config import Config

            wanted: dict[str, Any] = {
                "connect_timeout": CONNECT_SECONDS,
                "read_timeout": READ_SECONDS,
            }
            if not self.environ.get("AWS_MAX_ATTEMPTS"):
                wanted["retries"] = {"total_max_attempts": TRIES}
            config = Config(**{**wanted, **limits})
            # Not the module's own session: that one would outlive this object.
            session = boto3.session.Session(region_name=region)
            self.clients[key] = session.client(service, config=config)
        return self.clients[key]

    @contextmanager
    def _refusals(self, asked: Asked) -> Iterator[None]:
        """Turn what boto3 raises into a sentence, without the exchange that led to it."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        try:
            yield
        except ClientError as error:
            answer = error.response.get("Error", {})
            kind, said = str(answer.get("Code", "")), str(answer.get("Message", ""))
        except (BotoCoreError, ResponseParserError, ValueError) as error:
            kind, said = type(error).__name__, str(error)
        else:
            return
        region = self._used_region(asked)
        account = self._account(region) if needs_account(kind, said) else None
        asked = replace(asked, region=region, account=account)
        # The exchange with AWS is no part of a traceback.
        raise UnreachableError(explain(asked, kind, said), final=not passes(kind)) from None

    def _used_region(self, asked: Asked) -> str | None:
        """Return the region that was asked, also where a profile has named it."""
        service = asked.action.partition(":")[0]
        client = self.clients.get((service, asked.region))
        return asked.region if client is None else str(client.meta.region_name)

    def _account(self, region: str | None) -> str | None:
        """Return the account that AWS was asked as, if it says so at once."""
        from botocore.exceptions import BotoCoreError, ClientError

        limits = {
            "connect_timeout": IDENTITY_SECONDS,
            "read_timeout": IDENTITY_SECONDS,
            "retries": {"total_max_attempts": 1},
        }
        try:
            answer = self._client("sts", region, **limits).get_caller_identity()
        except (BotoCoreError, ClientError):
            return None
        account: str | None = answer.get("Account")
        return account


def _of_rds(reference: SecretReference, operation: str, arn: str) -> Asked:
    return Asked(
        f"The host of secret {reference.name!r} cannot be looked up",
        f"rds:{operation}",
        arn,
        _region_of(arn),
        instead=_instead(reference),
    )


def _region_of(arn: str) -> str:
    return arn.split(":")[3]


def _endpoint(
    reference: SecretReference, host: str | None, port: int | None, database: str | None
) -> Endpoint:
    if not host or not port:
        raise UnreachableError(
            f"The database of secret {reference.name!r} has no endpoint yet: RDS is still "
            "making it. Run it again when RDS calls it available."
        )
    return Endpoint(host, port, database)


def _instead(reference: SecretReference) -> str:
    return (
        f"Nothing is looked up where the host is named: secretsmanager://{reference.name}"
        "?host=…&port=…&database=…, or PGHOST, PGPORT and PGDATABASE."
    )
