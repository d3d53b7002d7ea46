"""OpenSSF Model Signing of each released model's folder."""

from pathlib import Path

from model_signing import signing, verifying

from workflows.attest.keys import PublicKey, SigningKey


def sign_model(folder: Path, signature: Path, key: SigningKey) -> None:
    """Write the signature of all files of a folder, a Sigstore bundle."""
    signing.Config().use_elliptic_key_signer(private_key=key.path).sign(folder, signature)


def find_model_fault(
    folder: Path, signature: Path, key: PublicKey, *, among_others: bool = False
) -> str:
    """What of a signature does not hold; empty if all of it does.

    Args:
        folder: of the model.
        signature: its file.
        key: that it must be by.
        among_others: the folder may hold files that were not signed.
    """
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=key.path)
    try:
        verifier.set_ignore_unsigned_files(among_others).verify(folder, signature)
    except Exception as error:  # the verifier's, of what it parses: of any kind
        return _short(error) or "is not a signature by this key"
    return ""


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0][:300]
