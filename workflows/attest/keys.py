"""The key that attestations are signed with, and the public half that they are verified by.

NIST P-256 and not ed25519: OpenSSF Model Signing takes NIST's curves alone, and one key
signs all. A key is called by the SHA-256 of its public file, as `sha256sum` prints it.
"""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from infra.home import home
from workflows.errors import MendableError

VARIABLE = "K2_SIGNING_KEY"
"""Names the private key's file; by default one in the home, made on first use."""


class PublicKey(NamedTuple):
    """What a signature is verified by."""

    name: str
    """SHA-256 of the file, in hex."""
    path: Path
    pem: bytes

    @property
    def verifier(self) -> SSlibKey:
        """For DSSE envelopes."""
        return SSlibKey.from_crypto(load_pem_public_key(self.pem), keyid=self.name)


class SigningKey(NamedTuple):
    """A private key in its file, and its public half."""

    path: Path
    public: bytes
    signer: CryptoSigner

    @property
    def name(self) -> str:
        """As of `PublicKey`."""
        return _name(self.public)


def default_key() -> Path:
    """Where the private key is."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else home() / "keys" / "signing.pem"


def make_key(path: Path) -> SigningKey:
    """Write a new private key that its owner alone may read, and beside it `.pub`.

    Raises:
        MendableError: there is a file already; a key is never replaced.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
        os.link(aside, path)  # whole or not at all, and never over another
    except FileExistsError:
        raise MendableError(f"{path} is there already: a key is never replaced") from None
    finally:
        aside.unlink(missing_ok=True)
    made = read_key(path)
    path.with_suffix(".pub").write_bytes(made.public)
    return made


def signing_key(path: Path | None) -> SigningKey:
    """The private key of a file; without one the configured key, made on first use.

    Raises:
        MendableError: there is no such file, or it holds no such key.
    """
    if path is None and VARIABLE not in os.environ and not default_key().exists():
        return make_key(default_key())
    return read_key(path or default_key())


def read_key(path: Path) -> SigningKey:
    """The private key of a file; errors as of `signing_key`."""
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise MendableError(
            f"{path} is no private key that can be read ({error}): `k2 keys new` makes one"
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise MendableError(f"{path} must be a key of NIST P-256: `k2 keys new` makes one")
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    name = _name(public)
    signer = CryptoSigner(key, SSlibKey.from_crypto(key.public_key(), keyid=name))
    return SigningKey(path, public, signer)


def read_public(path: Path) -> PublicKey:
    """A public key's file.

    Raises:
        MendableError: it cannot be read, or holds no key of NIST P-256.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise MendableError(f"{path} is no public key that can be read ({error})") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise MendableError(f"{path} must be a public key of NIST P-256")
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return PublicKey(_name(pem), path, pem)


def _name(pem: bytes) -> str:
    return hashlib.sha256(pem).hexdigest()
