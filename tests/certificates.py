"""Certificate authorities of the tests' own, and the certificates that they sign."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HERE = ("localhost", "127.0.0.1")
# From now on, and long enough for any test; the day before is for clocks that differ.
VALID_DAYS = (-1, 1)
EXPIRED_DAYS = (-30, -1)


@dataclass(frozen=True)
class Identity:
    """A certificate and its private key, both as PEM."""

    certificate: bytes
    key: bytes

    def followed_by(self, issuer: Authority) -> Identity:
        """Return the same with its authority's certificate, as some servers send it."""
        return Identity(self.certificate + issuer.certificate, self.key)


@dataclass(frozen=True)
class Authority:
    """Who signs certificates: ``certificate`` is what others must know to trust them."""

    name: x509.Name
    certificate: bytes
    key: ec.EllipticCurvePrivateKey

    def certify(
        self, *hosts: str, subject: str = "", days: tuple[int, int] = VALID_DAYS
    ) -> Identity:
        """Sign a certificate for host names and addresses, valid in these days from today.

        ``subject`` is its common name, the first host where none is given: PostgreSQL
        takes a client's for the user.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        names = [_general_name(host) for host in hosts]
        builder = _builder(_name(subject or hosts[0]), self.name, key.public_key(), days)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return Identity(_pem(builder.sign(self.key, hashes.SHA256())), _key_pem(key))


def authority(name: str) -> Authority:
    """Make an authority that signs its own certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = _name(name)
    builder = _builder(own, own, key.public_key(), VALID_DAYS).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True
    )
    return Authority(own, _pem(builder.sign(key, hashes.SHA256())), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: tuple[int, int]
) -> x509.CertificateBuilder:
    first, last = (datetime.now(timezone.utc) + timedelta(days=day) for day in days)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(first)
        .not_valid_after(last)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
