"""Makes keys and certificates of model pods, by `cryptography`: P-256, and each certificate good for one side of a connection only.

Imported where the operator keeps an authority of its own. It knows no Kubernetes and keeps nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from atheria_operator.domain.certificates.stored import Pair
from atheria_operator.domain.certificates.terms import Term
from atheria_operator.runtime.ports import Usage

_SKEW: Final = timedelta(minutes=5)
"""Clocks differ: a certificate begins so much earlier."""
_USAGES: Final = {
    Usage.SERVER: ExtendedKeyUsageOID.SERVER_AUTH,
    Usage.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH,
}

_UNUSABLE: Final = (
    # A key with a password.
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises beside ValueError for an authority that it cannot use."""


class P256Issuer:
    """CertificateIssuer on the machine's own randomness."""

    def authority(self, name: str, *, now_seconds: float, seconds: float) -> Pair:
        """An authority that signs for itself; `name` makes it another one than those before."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(f"Atheria pods {name}")
        public = key.public_key()
        builder = _begin(subject, subject, public, now_seconds, seconds)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_key_usage(is_authority=True), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        return _pair(builder.sign(key, hashes.SHA256()), key)

    def issue(self, authority: Pair, host: str, usage: Usage, *, now_seconds: float, seconds: float) -> Pair:
        """A new key and its certificate for `host`; it never outlasts the authority's. ValueError where that cannot sign."""
        signer, signing_key, known = _read_signer(authority)
        key = ec.generate_private_key(ec.SECP256R1())
        left = signer.not_valid_after_utc.timestamp() - now_seconds
        builder = _begin(_name("Atheria"), signer.subject, key.public_key(), now_seconds, min(seconds, left))
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(is_authority=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([_USAGES[usage]]), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known), critical=False
        )
        return _pair(builder.sign(signing_key, hashes.SHA256()), key)

    def term(self, name: str, certificate: bytes) -> Term:
        """From when to when a certificate counts. ValueError for what is no certificate."""
        try:
            found = x509.load_pem_x509_certificate(certificate)
        except x509.InvalidVersion as error:
            raise ValueError(f"the certificate is of no known version: {error}") from error
        begins = found.not_valid_before_utc + _SKEW
        return Term(
            name=name,
            begins_seconds=begins.timestamp(),
            ends_seconds=found.not_valid_after_utc.timestamp(),
        )


def _read_signer(
    authority: Pair,
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey, x509.SubjectKeyIdentifier]:
    try:
        signer = x509.load_pem_x509_certificate(authority.certificate)
        public = signer.public_key()
        key = serialization.load_pem_private_key(authority.key, None)
        known = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        may_sign = signer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except _UNUSABLE as error:
        raise ValueError(f"the authority cannot sign: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is not one of an elliptic curve")
    if not may_sign or key.public_key() != public:
        raise ValueError("the authority's certificate is not one of an authority, or not that of its key")
    return signer, key, known


def _begin(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now_seconds: float,
    seconds: float,
) -> x509.CertificateBuilder:
    now = datetime.fromtimestamp(now_seconds, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(seconds=seconds))
    )


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )
