"""Signatures by Sigstore's identities: what is missing is said, and what others signed is verified.

`bundles/staging.sigstore.json` is of sigstore-python's tests (Apache-2.0): a statement that a
workflow of sigstore-conformance signed on Sigstore's staging instance.
"""

import base64
import json
import shutil
from pathlib import Path

import jwt
import pytest
from typer.testing import CliRunner

from tests.workflows.test_attest import Signed, signed, verify
from workflows.attest.envelope import PAYLOAD
from workflows.attest.identity import KeylessSigner, Signatory, find_identity_fault
from workflows.cli import app
from workflows.errors import MendableError

__all__ = ["signed"]

BUNDLE = Path(__file__).with_name("bundles") / "staging.sigstore.json"
WORKFLOW = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/"
    ".github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)
ISSUER = "https://token.actions.githubusercontent.com"
BY = Signatory(WORKFLOW, ISSUER, staging=True)
WHO = ("--identity", WORKFLOW, "--issuer", ISSUER, "--staging")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answers where there is one."""
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def payload() -> bytes:
    envelope = json.loads(BUNDLE.read_text())["dsseEnvelope"]
    assert envelope["payloadType"] == PAYLOAD
    return base64.b64decode(envelope["payload"])


@pytest.mark.parametrize(
    ("by", "words"),
    [
        (BY, ""),
        (BY._replace(identity="eve@example.org"), "SANs do not match eve@example.org"),
        (BY._replace(issuer="https://accounts.google.com"), "OIDCIssuer does not match"),
        (BY._replace(staging=False), f"is not signed by {WORKFLOW}"),
    ],
    ids=["as it is", "another person", "another provider", "another instance"],
)
def test_a_statement_is_by_who_signed_it_alone(by: Signatory, words: str) -> None:
    fault = find_identity_fault(BUNDLE.read_bytes(), payload(), by)
    assert words in fault
    assert bool(words) == bool(fault)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('"payload": "', '"payload": "AAAA', "invalid signature"),
        ('"sig": "', '"sig": "AAAA', "is not signed by"),
        ('"rootHash": "', '"rootHash": "AAAA', "is not signed by"),
        ('"rawBytes": "', '"rawBytes": "AAAA', "is not signed by"),
        ("{", "", "is not signed by"),
    ],
)
def test_a_changed_bundle_is_refused(before: str, after: str, words: str) -> None:
    text = BUNDLE.read_text()
    assert before in text
    changed = text.replace(before, after, 1).encode()
    assert words in find_identity_fault(changed, payload(), BY)


def test_another_statement_is_refused() -> None:
    assert find_identity_fault(BUNDLE.read_bytes(), b"{}", BY) == "signs another statement"


def token(**claims: object) -> str:
    stated = {"iss": ISSUER, "sub": "me", "aud": "sigstore", "iat": 1, "exp": 32_503_680_000}
    return jwt.encode(stated | claims, "0" * 32)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "there is no identity: set K2_IDENTITY_TOKEN to an OpenID token"),
        ("abc", "the identity token is of no use: Identity token is malformed"),
        (token(aud="others"), "the identity token is of no use"),
        (token(exp=2), "the identity token is of no use"),
        (token(job_workflow_ref="a/b"), "takes a network to Sigstore's services"),
    ],
    ids=["none", "no token", "for others", "too old", "no network"],
)
def test_what_signing_lacks_is_said(
    given: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GITHUB_ACTIONS", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "GITLAB_CI", "BUILDKITE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MendableError, match="--sigstore: ") as failed:
        KeylessSigner(given, staging=True)
    assert words in str(failed.value)


def test_who_and_by_whom_go_together() -> None:
    shown = CliRunner().invoke(app, ["verify", "x", "--identity", "me@example.org"])
    assert shown.exit_code == 2
    assert "--identity and --issuer go together" in shown.stderr


@pytest.mark.slow
def test_a_release_must_be_signed_by_the_identity_that_is_asked_for(
    signed: Signed, tmp_path: Path
) -> None:
    (missing,) = verify(signed.out, *WHO).divergences
    assert (missing["what"], missing["file"]) == ("missing", "references.sigstore.json")
    copy = tmp_path / "copy"
    shutil.copytree(signed.out, copy)
    shutil.copy(BUNDLE, copy / "attestations" / "references.sigstore.json")
    (other,) = verify(copy, *WHO).divergences
    assert other["what"] == "signs another statement"
    said = verify(copy)
    assert said.divergences == []
    assert any("--identity and --issuer name them" in note for note in said.notes)
