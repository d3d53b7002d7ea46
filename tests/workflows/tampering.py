"""Everything that somebody may do to an attested release, and the first file that must be named."""

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from securesystemslib.dsse import Envelope

from workflows.attest.keys import make_key

Change = Callable[[Path], object]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def forge(folder: Path, name: str) -> None:
    """Change a file, and its line of the sums with it."""
    before = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    flip(folder / name)
    after = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    sums = folder / "SHA256SUMS"
    sums.write_text(sums.read_text().replace(before, after))


def edit(path: Path) -> None:
    """Another payload under the old signature."""
    envelope = json.loads(path.read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(b'"seed":7', b'"seed":8')
    envelope["payload"] = base64.b64encode(payload).decode()
    path.write_text(json.dumps(envelope))


def sign_again(path: Path) -> None:
    """The same payload, signed by another key that calls itself by the first one's name."""
    envelope = Envelope.from_dict(json.loads(path.read_bytes()))
    signer = make_key(path.parent.parent.parent.parent / "other.pem").signer
    [name] = envelope.signatures
    signer.public_key.keyid = name
    envelope.signatures.clear()
    envelope.sign(signer)
    path.write_text(json.dumps(envelope.to_dict()))


def at(name: str, change: Change) -> Change:
    return lambda folder: change(folder / "attestations" / name)


def put(source: str, target: str) -> Change:
    return lambda folder: shutil.copy(
        folder / "attestations" / source, folder / "attestations" / target
    )


TAMPERED: dict[str, tuple[Change, str]] = {
    "weights": (lambda folder: flip(folder / "policy/model.safetensors"), "policy/model.safetens"),
    "weights and sums": (lambda folder: forge(folder, "base/model.safetensors"), "lineage.json"),
    "a page and its sum": (lambda folder: forge(folder, "base/NOTICE.md"), "references"),
    "a file of a model removed": (
        lambda folder: (folder / "base/config.json").unlink(),
        "base/con",
    ),
    "a statement edited": (at("provenance/clean.dsse.json", edit), "provenance/clean.dsse.json"),
    "by another key": (at("provenance/rl.dsse.json", sign_again), "provenance/rl.dsse.json"),
    "a statement removed": (at("provenance/rl.dsse.json", Path.unlink), "provenance/rl.dsse.json"),
    "another stage's": (
        put("provenance/ingest.dsse.json", "provenance/clean.dsse.json"),
        "provenance/clean.dsse.json",
    ),
    "no statement": (at("provenance/rl.dsse.json", flip), "provenance/rl.dsse.json"),
    "another model's signature": (put("models/base.sig", "models/policy.sig"), "models/policy.sig"),
    "a signature removed": (at("models/base.sig", Path.unlink), "models/base.sig"),
    "a signature flipped": (at("models/base.sig", flip), "models/base.sig"),
    "the bill edited": (at("bom.cdx.json", flip), "bom.cdx.json"),
    "the bill removed": (at("bom.cdx.json", Path.unlink), "bom.cdx.json"),
    "a data set edited": (at("raw_corpus.croissant.json", flip), "raw_corpus.croissant.json"),
    "the summary edited": (at("training-summary.md", flip), "training-summary.md"),
    "a file added": (put("bom.cdx.json", "bom2.cdx.json"), "bom2.cdx.json"),
    "the key replaced": (
        lambda folder: (folder / "attestations" / "public.pem").write_bytes(
            make_key(folder.parent / "third.pem").public
        ),
        "public.pem",
    ),
    "what names all edited": (at("references.dsse.json", flip), "references.dsse.json"),
    "what names all removed": (at("references.dsse.json", Path.unlink), "references.dsse.json"),
    "all of it removed": (lambda folder: shutil.rmtree(folder / "attestations"), "references.dsse"),
}
