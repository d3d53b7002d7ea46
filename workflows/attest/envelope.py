"""in-toto statements in DSSE envelopes, by in-toto's and securesystemslib's own code."""

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict, cast

from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.v1.statement import STATEMENT_TYPE_URI, Statement
from in_toto_attestation.v1.statement_pb2 import Statement as StatementMessage
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError

from workflows.attest.keys import PublicKey, SigningKey

PAYLOAD = "application/vnd.in-toto+json"
SLSA = "https://slsa.dev/provenance/v1"
REFERENCE = "https://in-toto.io/attestation/reference/v0.1"
"""A predicate that names documents about its subject."""


class Resource(TypedDict, total=False):
    """What in-toto calls a resource descriptor."""

    name: str
    uri: str
    digest: dict[str, str]
    mediaType: str
    annotations: dict[str, object]


class Stated(TypedDict):
    """A statement as it is read."""

    subject: list[Resource]
    predicateType: str
    predicate: dict[str, object]


class BadEnvelopeError(ValueError):
    """An envelope that does not hold; the message says what of it."""


def sign_statement(
    subject: Sequence[Resource],
    predicate_type: str,
    predicate: Mapping[str, object],
    by: SigningKey,
) -> bytes:
    """An envelope's file."""
    stated = {
        "_type": STATEMENT_TYPE_URI,
        "subject": list(subject),
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }
    payload = json.dumps(stated, sort_keys=True, separators=(",", ":")).encode()
    _check_form(payload)
    envelope = Envelope(payload, PAYLOAD, {})
    envelope.sign(by.signer)
    return json.dumps(envelope.to_dict(), indent=1).encode() + b"\n"


def open_statement(content: bytes, key: PublicKey) -> Stated:
    """What an envelope's file states.

    Raises:
        BadEnvelopeError: it is no envelope, not signed by this key, or no statement.
    """
    try:
        envelope = Envelope.from_dict(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadEnvelopeError(f"is no DSSE envelope ({error})") from None
    try:
        envelope.verify([key.verifier], 1)
    except VerificationError:
        raise BadEnvelopeError(f"was changed, or is not signed by key {key.name[:12]}") from None
    if envelope.payload_type != PAYLOAD:
        raise BadEnvelopeError(f"holds {envelope.payload_type}, not {PAYLOAD}")
    _check_form(envelope.payload)
    return cast(Stated, json.loads(envelope.payload))


def payload_of(content: bytes) -> bytes:
    """What an envelope's file holds, whoever signed it."""
    payload: bytes = Envelope.from_dict(json.loads(content)).payload
    return payload


def _check_form(payload: bytes) -> None:
    """Hold a payload to the published messages of statement and provenance."""
    try:
        message = json_format.Parse(payload, StatementMessage())
        Statement.copy_from_pb(message).validate()
        if message.predicate_type == SLSA:
            json_format.ParseDict(json.loads(payload)["predicate"], Provenance())
    except (ValueError, json_format.ParseError) as error:
        raise BadEnvelopeError(f"is no in-toto statement ({error})") from None
