"""What every promise is made of: frozen configs, and artifacts named by their content."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.json_schema import DEFAULT_REF_TEMPLATE, GenerateJsonSchema, JsonSchemaMode

from schemas.form import form_schema

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""SHA-256 over an artifact's manifest: every file's relative path, size and SHA-256."""


class Promise(BaseModel):
    """What has a form: its JSON schema is written out whole (`schemas.form`)."""

    @classmethod
    def model_json_schema(
        cls,
        by_alias: bool | None = None,
        ref_template: str = DEFAULT_REF_TEMPLATE,
        schema_generator: type[GenerateJsonSchema] = GenerateJsonSchema,
        mode: JsonSchemaMode = "validation",
        *,
        union_format: Literal["any_of", "primitive_type_array"] = "any_of",
    ) -> dict[str, object]:
        """Pydantic's JSON schema without references, each default at its leaf."""
        return form_schema(
            super().model_json_schema(
                by_alias, ref_template, schema_generator, mode, union_format=union_format
            )
        )


class Config(Promise):
    """What to compute. Frozen; an unknown field is an error; docstrings appear in the console.

    Errors name the field and not the value, which may be what should not be in a log.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_default=True,
        hide_input_in_errors=True,
    )

    extent: ClassVar[frozenset[str]] = frozenset()
    """Fields that say only how far the work goes: with another value it goes on from what is kept
    of a shorter one (`Workspace.kept`)."""


class Artifact(Promise):
    """A reference to bytes, by content and never by location; a store resolves it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: str
    """What the bytes are, e.g. `clean_corpus`; fixed by the class."""
    digest: Digest
    """Identity: equal bytes have equal digests on every machine and in every store."""
    counts: dict[str, float] = Field({})
    """What is in it, e.g. `{"documents": 9120, "words": 1830211}`."""

    def describe_counts(self) -> str:
        """The counts in words, e.g. `9,120 documents, 1,830,211 words`."""
        return ", ".join(
            f"{value:,.0f} {name}" if value.is_integer() else f"{value:,.4g} {name}"
            for name, value in self.counts.items()
        )
