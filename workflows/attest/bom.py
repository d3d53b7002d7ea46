"""A bill of materials (CycloneDX 1.6): models with their scores, data, sources and libraries.

The library writes all but model cards, which it has no classes for; they are put into its JSON, and
the whole is held to the published schema in the tests.
"""

import json
import uuid
from datetime import datetime
from typing import TypedDict

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from schemas.base import Artifact
from schemas.evaluate import CHECKPOINTS
from workflows.attest.facts import (
    DATA,
    Measured,
    ReleaseFacts,
    SourceAbout,
    all_sources,
    as_time,
    sources_of,
)
from workflows.attest.libraries import Library, read_libraries

_NAMESPACE = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")
"""OID's, of RFC 4122: a release has one serial number, whoever writes its bill."""
_LICENSES = LicenseFactory()


class _Part(TypedDict, total=False):
    """A component in the library's JSON, as far as it is looked at."""

    modelCard: dict[str, object]
    components: "list[_Part]"


def write_bom(facts: ReleaseFacts) -> bytes:
    """The bill's file; equal for equal records."""
    release = Component(
        name=facts.config.name,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        version=facts.release.digest[7:19],
        bom_ref="release",
        hashes=[_sha256(facts.release.digest)],
        licenses=_licenses([facts.config.license]),
    )
    sources = {
        name: _source(name, about) for name, about in all_sources(facts.artifacts.values()).items()
    }
    data = {a.digest: _data(a) for a in facts.artifacts.values() if a.kind in DATA}
    models = {name: _model(facts, name) for name in facts.models}
    pins, known = read_libraries(facts.maker.run)
    libraries = [_library(pin) for pin in pins]
    release.properties.add(Property(name="k2:libraries", value=known))
    bom = Bom(
        serial_number=uuid.uuid5(_NAMESPACE, facts.release.digest),
        components=[*models.values(), *data.values(), *sources.values(), *libraries],
    )
    bom.metadata.component = release
    bom.metadata.timestamp = datetime.fromisoformat(as_time(facts.maker.run.ended))
    bom.register_dependency(release, [*models.values(), *libraries])
    for name, model in models.items():
        bom.register_dependency(model, [data[one.digest] for one in facts.data_of(name)])
    for digest, component in data.items():
        named = sources_of(facts.artifacts[digest])
        bom.register_dependency(component, [sources[name] for name in named])
    return _with_cards(facts, JsonV1Dot6(bom).output_as_string())


def _model(facts: ReleaseFacts, name: str) -> Component:
    weights = facts.weights_of(name)
    files = [f for f in facts.files if f.path.startswith(f"{name}/")]
    return Component(
        name=f"{facts.config.name}/{name}",
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{name}",
        licenses=_licenses([facts.config.license]),
        components=[
            Component(
                name=file.path,
                type=ComponentType.FILE,
                bom_ref=f"file:{file.path}",
                hashes=[_sha256(file.sha256)],
            )
            for file in files
        ],
        properties=[Property(name="k2:checkpoint", value=weights.digest)] if weights else [],
    )


def _data(artifact: Artifact) -> Component:
    licenses = {about.get("license", "") for about in sources_of(artifact).values()} - {""}
    return Component(
        name=artifact.kind,
        type=ComponentType.DATA,
        version=artifact.digest[7:19],
        description=artifact.describe_counts(),
        bom_ref=_reference(artifact),
        hashes=[_sha256(artifact.digest)],
        licenses=_licenses(sorted(licenses)),
    )


def _source(name: str, about: SourceAbout) -> Component:
    said = {key: str(value) for key, value in about.items() if key not in ("license", "version")}
    return Component(
        name=name,
        type=ComponentType.DATA,
        version=about.get("version") or None,
        bom_ref=f"source:{name}",
        licenses=_licenses([about["license"]] if about.get("license") else []),
        properties=[Property(name=f"k2:{key}", value=value) for key, value in said.items()],
    )


def _library(library: Library) -> Component:
    return Component(
        name=library.name,
        type=ComponentType.LIBRARY,
        version=library.version,
        bom_ref=f"library:{library.name}",
        purl=PackageURL("pypi", name=library.name, version=library.version),
        licenses=_licenses([library.license] if library.license else []),
    )


def _sha256(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest.removeprefix("sha256:"))


def _licenses(names: list[str]) -> list[License]:
    """One expression, or any number of licences: the format has no room for both."""
    made = [_LICENSES.make_from_string(name) for name in names]
    if len(made) < 2:
        return made
    return [
        DisjunctiveLicense(name=one.value) if isinstance(one, LicenseExpression) else one
        for one in made
    ]


def _reference(artifact: Artifact) -> str:
    return f"data:{artifact.kind}:{artifact.digest[7:19]}"


def _with_cards(facts: ReleaseFacts, text: str) -> bytes:
    bom = json.loads(text)
    scores = facts.scores()
    parts: dict[str, _Part] = {part["bom-ref"]: part for part in bom["components"]}
    for name in facts.models:
        card: dict[str, object] = {
            "modelParameters": {
                "task": "text-generation",
                "architectureFamily": "transformer, sparse mixture of experts",
                "modelArchitecture": _architecture(facts, name),
                "datasets": [{"ref": _reference(one)} for one in facts.data_of(name)],
                "inputs": [{"format": "text"}],
                "outputs": [{"format": "text"}],
            }
        }
        if scores and name in CHECKPOINTS:  # what was rounded was not asked
            card["quantitativeAnalysis"] = {"performanceMetrics": _metrics(scores, name)}
        parts[f"model:{name}"]["modelCard"] = card
    return json.dumps(bom, indent=1, sort_keys=True).encode() + b"\n"


def _architecture(facts: ReleaseFacts, name: str) -> str:
    config: dict[str, list[str]] = json.loads((facts.folder / name / "config.json").read_bytes())
    return ", ".join(config.get("architectures", [])) or "not stated"


def _metrics(scores: Measured, model: str) -> list[dict[str, object]]:
    rates = {f: by[model] for f, by in scores.families.items() if model in by}
    texts = {d: by[model] for d, by in scores.perplexity.items() if model in by}
    passed: list[dict[str, object]] = [
        {
            "type": "pass@1",
            "slice": f"held-out problems: {family}",
            "value": f"{rate.rate:.4f}",
            "confidenceInterval": {
                "lowerBound": f"{rate.low:.4f}",
                "upperBound": f"{rate.high:.4f}",
            },
        }
        for family, rate in rates.items()
    ]
    return passed + [
        {
            "type": "bits per byte",
            "slice": f"held-out text: {domain}",
            "value": f"{found.bits_per_byte:.4f}",
        }
        for domain, found in texts.items()
    ]
