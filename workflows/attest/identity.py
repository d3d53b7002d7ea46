"""Signatures by an identity instead of a key: Sigstore's.

Fulcio certifies for minutes who signs, by a token of an OpenID provider, and Rekor logs it in
public. Both take a network: signing was never run. Verification was, of others' bundles, by the
trust root that comes with the client.
"""

from pathlib import Path
from typing import NamedTuple

from model_signing import signing
from sigstore.dsse import Statement
from sigstore.errors import Error, TUFError
from sigstore.models import Bundle, ClientTrustConfig, InvalidBundle
from sigstore.oidc import IdentityError, IdentityToken, detect_credential
from sigstore.sign import SigningContext
from sigstore.verify import Verifier
from sigstore.verify.policy import Identity

from workflows.attest.envelope import PAYLOAD
from workflows.errors import MendableError

VARIABLE = "K2_IDENTITY_TOKEN"
"""Holds an OpenID token; else the machine's is taken (GitHub Actions, GCP, Buildkite)."""


class Signatory(NamedTuple):
    """Who must have signed."""

    identity: str
    """An e-mail address, or a workflow's URI."""
    issuer: str
    """The OpenID provider that vouches for it, as `https://accounts.google.com`."""
    staging: bool = False
    """By Sigstore's instance for tests."""


class KeylessSigner:
    """Signs by the identity of a token.

    Raises:
        MendableError: there is no token, or no network; says what is missing.
    """

    def __init__(self, token: str, *, staging: bool) -> None:
        self.token, self.staging = _identity_of(token), staging
        try:
            config = ClientTrustConfig.staging() if staging else ClientTrustConfig.production()
            self._context = SigningContext.from_trust_config(config)
        except Error as error:
            raise MendableError(_unreachable(error)) from error

    def sign_model(self, folder: Path, signature: Path) -> None:
        """Write OpenSSF Model Signing's bundle of all files of a folder."""
        try:
            signing.Config().use_sigstore_signer(
                identity_token=str(self.token), use_staging=self.staging
            ).sign(folder, signature)
        except Error as error:
            raise MendableError(_unreachable(error)) from error

    def sign_statement(self, payload: bytes) -> bytes:
        """A bundle's file: an in-toto statement in an envelope, certificate and log entry."""
        try:
            with self._context.signer(self.token) as signer:
                return signer.sign_dsse(Statement(payload)).to_json().encode() + b"\n"
        except Error as error:
            raise MendableError(_unreachable(error)) from error


def find_identity_fault(bundle: bytes, payload: bytes, by: Signatory) -> str:
    """What of a bundle does not hold; empty if it is this statement, signed by this identity."""
    try:
        verifier = Verifier.staging() if by.staging else Verifier.production()
    except TUFError:  # no network: by what the client came with
        offline = Verifier.staging if by.staging else Verifier.production
        verifier = offline(offline=True)
    try:
        policy = Identity(identity=by.identity, issuer=by.issuer)
        kind, signed = verifier.verify_dsse(Bundle.from_json(bundle), policy)
    except (Error, InvalidBundle, ValueError) as error:
        said = str(error).partition("\n")[0][:300] or type(error).__name__
        return f"is not signed by {by.identity} of {by.issuer}: {said}"
    if (kind, signed) != (PAYLOAD, payload):
        return "signs another statement"
    return ""


def _identity_of(token: str) -> IdentityToken:
    try:
        found = token or detect_credential()
        if found:
            return IdentityToken(found)
    except IdentityError as error:
        raise MendableError(f"--sigstore: the identity token is of no use: {error}") from None
    raise MendableError(
        f"--sigstore: there is no identity: set {VARIABLE} to an OpenID token for the audience "
        "`sigstore`, or sign where the machine has one (GitHub Actions with `id-token: write`, GCP)"
    )


def _unreachable(error: Error) -> str:
    return (
        f"--sigstore: {error} ({type(error).__name__}): signing by identity takes a network to "
        "Sigstore's services; without --sigstore the key alone signs"
    )
