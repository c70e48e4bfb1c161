"""A sentence and a next step for each way in which AWS refuses; nothing here asks AWS."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

ACCOUNT = re.compile(r"\barn:(?P<partition>aws[\w-]*):(?:sts|iam)::(?P<account>\d{12}):")
KEY = re.compile(r"\barn:aws[\w-]*:kms:[\w-]+:\d+:key/[\w-]+")
PARTITIONS = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"))
POLICY = re.compile(r"because no (?P<policy>[\w -]*policy|permissions boundary) allows")
LONGEST = 500
NOT_FOUND = frozenset(
    {"ResourceNotFoundException", "DBInstanceNotFound", "DBInstanceNotFoundFault",
     "DBClusterNotFoundFault"}
)  # fmt: skip
DENIED = frozenset(
    {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"}
)
SIGN_IN = "In CodeBuild start the build again; at a desk sign in again: aws sso login"
WHICH = "See which credentials are used: aws sts get-caller-identity"


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked of AWS: ``what`` begins the sentence, ``instead`` is another way out.

    ``action`` is IAM's name of it, ``resource`` the name or ARN of what it was asked about.
    """

    what: str
    action: str
    resource: str
    region: str | None = None
    account: str | None = None
    instead: str = ""

    @property
    def where(self) -> str:
        """Return the region and, where it is known, the account."""
        region = f"region {self.region}" if self.region else "no region"
        return f"{region} of account {self.account}" if self.account else region

    @property
    def named(self) -> str:
        """Return the options with which AWS's own command line finds the secret."""
        region = f" --region {self.region}" if self.region else ""
        return f"--secret-id {shlex.quote(self.resource)}{region}"

    @property
    def partition(self) -> str:
        """Return the partition that the region is in."""
        return next(
            (p for start, p in PARTITIONS if (self.region or "").startswith(start)), "aws"
        )


def explain(asked: Asked, kind: str, said: str) -> str:
    """Return the sentence for a refusal.

    ``kind`` is AWS's error code, or the class of botocore's exception; ``said`` are the
    words with it.
    """
    said = " ".join(said.split())[:LONGEST].rstrip(". ") or kind
    advice = ADVICE.get(kind)
    reason = advice(asked, said) if advice is not None else _unknown(kind, said)
    return (
        f"{asked.what}: {reason.rstrip('.')}. {asked.instead}"
        if asked.instead
        else (f"{asked.what}: {reason}")
    )


def needs_account(kind: str, said: str) -> bool:
    """Return whether a sentence wants the account that was asked, and AWS has not said it."""
    return kind in NOT_FOUND or (kind in DENIED and ACCOUNT.search(said) is None)


def passes(kind: str) -> bool:
    """Return whether a refusal may be over in a minute."""
    return kind in PASSING


def statement(asked: Asked, said: str) -> str:
    """Return the IAM statement that allows what was asked, as one line of JSON."""
    who = ACCOUNT.search(said)
    resource = _arn(asked, who["partition"], who["account"]) if who else asked.resource
    if not resource.startswith("arn:"):
        resource = _arn(asked, asked.partition, asked.account or "*")
    return _allow(asked.action, resource)


def connect_statement(region: str | None, user: str) -> str:
    """Return the IAM statement that allows a role to connect as a user with a token."""
    return _allow("rds-db:connect", f"arn:aws:rds-db:{region or '*'}:*:dbuser:*/{user}")


def _allow(action: str, resource: str, **more: object) -> str:
    return json.dumps({"Effect": "Allow", "Action": action, "Resource": resource, **more})


def _arn(asked: Asked, partition: str, account: str) -> str:
    """Return the ARN of what was asked about; a secret's ends in six random characters."""
    if asked.resource.startswith("arn:"):
        return asked.resource
    service = asked.action.partition(":")[0]
    name = f"secret:{asked.resource}-??????" if service == "secretsmanager" else asked.resource
    return f"arn:{partition}:{service}:{asked.region or '*'}:{account}:{name}"


# --- the sentences ---


def _not_found(asked: Asked, said: str) -> str:
    if "staging label" in said or "VersionId" in said:
        version = said.partition("for ")[2] or "that version"
        return (
            f"in {asked.where} it has no {version}. See its versions: aws secretsmanager "
            f"list-secret-version-ids {asked.named}"
        )
    return (
        f"it is not in {asked.where}. Check its name and the region (AWS_REGION, or region=), "
        "or write its ARN, which has both. See what is there: aws secretsmanager list-secrets"
        f" --region {asked.region}"
    )


def _database_not_found(asked: Asked, said: str) -> str:
    return (
        f"{asked.resource} is not in {asked.where} ({said}). It was deleted, or its secret "
        "belongs to another one."
    )


def _denied(asked: Asked, said: str) -> str:
    if "kms" in said.lower():
        return _key(asked, said)
    if "explicit deny" in said:
        return f"an explicit deny forbids it, which no other statement undoes: {said}."
    lacking = POLICY.search(said)
    where = lacking["policy"] if lacking else "role's policy"
    return f"{said}. Allow it in the {where}: {statement(asked, said)}"


def _key(asked: Asked, said: str) -> str:
    region, found = asked.region or "*", KEY.search(said)
    key = found[0] if found else f"arn:{asked.partition}:kms:{region}:*:key/KEY-ID"
    domain = "amazonaws.com.cn" if asked.partition == "aws-cn" else "amazonaws.com"
    through = {"StringEquals": {"kms:ViaService": f"secretsmanager.{region}.{domain}"}}
    return (
        f"its key does not decrypt it ({said}). The key must be enabled, and this role allowed "
        f"to use it: {_allow('kms:Decrypt', key, Condition=through)} See which key: aws "
        f"secretsmanager describe-secret {asked.named} --query KmsKeyId"
    )


def _request(asked: Asked, said: str) -> str:
    if "deletion" in said or "deleted" in said:
        return (
            "it is scheduled for deletion. Bring it back: aws secretsmanager restore-secret "
            f"{asked.named}"
        )
    return f"{said}. Check version_stage and version_id in the URL."


def _fixed(text: str) -> Callable[[Asked, str], str]:
    return lambda asked, said: text.format(said=said, region=asked.region, where=asked.where)


_expired = _fixed("the AWS credentials have expired. " + SIGN_IN)
_foreign = _fixed("AWS does not know these credentials ({said}). " + WHICH)
_throttled = _fixed("AWS takes no more requests now ({said}). Run it again in a minute")
_internal = _fixed("AWS has an error of its own ({said}). Run it again in a minute")
_parameter = _fixed(
    "AWS does not take the question ({said}). Check the secret's name and version."
)
_network = _fixed(
    "AWS cannot be reached ({said}). From a VPC that needs a NAT gateway, or an interface "
    "endpoint for the service with private DNS, and a security group that lets port 443 "
    "through"
)
_silent = _fixed(
    "AWS does not answer in time ({said}). In a VPC look at the NAT gateway or the service's "
    "interface endpoint, their route and their security group"
)
_clock = _fixed(
    "AWS does not take the signature ({said}). The secret key is wrong, or this clock is. "
    + WHICH
)
_no_credentials = _fixed(
    "there are no AWS credentials. In CI give the build a role; at a desk: aws sso login, "
    "or set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
)
_provider = _fixed("the AWS credentials cannot be had: their source has failed. " + WHICH)
_profile = _fixed("{said}. Check AWS_PROFILE, and the profiles in ~/.aws/config")
_no_region = _fixed(
    "no AWS region is known. Set AWS_REGION, write region= in the URL, or name the secret by "
    "its ARN"
)
_bad_region = _fixed("{said}. Check AWS_REGION, or region= in the URL")
_endpoint = _fixed("{said}. Check AWS_ENDPOINT_URL and the region")
_tls = _fixed(
    "the TLS connection to AWS fails ({said}). Behind a proxy that has its own certificate "
    "set AWS_CA_BUNDLE"
)
_configuration = _fixed("{said}. Mend ~/.aws/config, or the AWS_ variables")

ADVICE: Mapping[str, Callable[[Asked, str], str]] = {
    "ResourceNotFoundException": _not_found,
    **dict.fromkeys(NOT_FOUND - {"ResourceNotFoundException"}, _database_not_found),
    **dict.fromkeys(DENIED, _denied),
    "DecryptionFailure": _key,
    "InvalidRequestException": _request,
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "RequestExpired"), _expired),
    **dict.fromkeys(
        ("UnrecognizedClientException", "InvalidClientTokenId", "AuthFailure",
         "MissingAuthenticationToken", "MissingAuthenticationTokenException"),
        _foreign,
    ),
    **dict.fromkeys(
        ("InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature",
         "IncompleteSignatureException"),
        _clock,
    ),
    **dict.fromkeys(
        ("ThrottlingException", "Throttling", "TooManyRequestsException",
         "RequestLimitExceeded"),
        _throttled,
    ),
    **dict.fromkeys(
        ("InternalServiceError", "InternalFailure", "InternalServerError",
         "ServiceUnavailable", "ServiceUnavailableException", "500", "502", "503", "504"),
        _internal,
    ),
    **dict.fromkeys(
        ("InvalidParameterException", "InvalidParameterValue", "ValidationException",
         "ValidationError", "ParamValidationError"),
        _parameter,
    ),
    **dict.fromkeys(("EndpointConnectionError", "ProxyConnectionError"), _network),
    **dict.fromkeys(
        ("ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError",
         "HTTPClientError", "ResponseStreamingError", "IncompleteReadError"),
        _silent,
    ),
    "SSLError": _tls,
    "NoCredentialsError": _no_credentials,
    "PartialCredentialsError": _configuration,
    **dict.fromkeys(
        ("CredentialRetrievalError", "MetadataRetrievalError", "UnknownCredentialError"),
        _provider,
    ),
    **dict.fromkeys(
        ("SSOError", "SSOTokenLoadError", "UnauthorizedSSOTokenError", "TokenRetrievalError",
         "LoginError", "LoginRefreshRequired", "LoginTokenLoadError"),
        _expired,
    ),
    **dict.fromkeys(("ProfileNotFound", "ConfigNotFound"), _profile),
    "NoRegionError": _no_region,
    "InvalidRegionError": _bad_region,
    **dict.fromkeys(
        ("ValueError", "UnknownEndpointError", "EndpointProviderError",
         "EndpointResolutionError"),
        _endpoint,
    ),
    **dict.fromkeys(
        ("ConfigParseError", "InvalidConfigError", "InvalidRetryConfigurationError",
         "InvalidMaxRetryAttemptsError", "InvalidRetryModeError"),
        _configuration,
    ),
}  # fmt: skip


PASSING = frozenset(
    kind
    for kind, advice in ADVICE.items()
    if advice in (_throttled, _internal, _network, _silent)
)


def _unknown(kind: str, said: str) -> str:
    return f"AWS refuses ({kind if said == kind else f'{kind}: {said}'}). {WHICH}"
