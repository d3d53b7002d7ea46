"""A model that is brought: whose checkpoint, and under which licence."""

from pydantic import Field

from schemas.base import Config


class AdoptConfig(Config):
    """A checkpoint of K2's architecture, made elsewhere, from which finetuning starts."""

    source: str = ""
    """A folder, `hf://ORG/NAME@REVISION` or `s3://`, `gs://`, `abfs://`; empty: none is brought,
    and the base is pre-trained."""
    digest: str = Field("", pattern=r"^(sha256:[0-9a-f]{64})?$")
    """What its files must be (`k2 import` states it): SHA-256 over their names and SHA-256s; empty
    takes any."""
    license: str = ""
    """Of the weights; empty: what the head of its README.md says."""
    add_chat_tokens: bool = False
    """Give those of K2's special tokens that its tokenizer lacks a row that no other token uses;
    without it such a tokenizer is an error."""
