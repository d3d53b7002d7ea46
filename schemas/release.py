"""What is published, and how close its logits must be to the trainer's."""

from pydantic import Field

from schemas.base import Config


class ReleaseConfig(Config):
    """Base and policy weights with their card, licences, lineage and proof of parity."""

    name: str = Field("k2-tiny", pattern=r"^[A-Za-z0-9._\-]+$")
    """Name of the model in its card."""
    organization: str = Field("your-organization", pattern=r"^[A-Za-z0-9._\-]+$")
    """Whose repositories these are on the Hub; the policy's card names the base there."""
    license: str = "other"
    """Licence of the weights, as the Hub spells it. `other` points at LICENSES.md, where the
    licences of the data stand by source; whoever publishes decides."""
    languages: tuple[str, ...] = ("en",)
    """Of the text that it was trained on, by ISO 639-1."""
    max_logit_difference: float = Field(1e-4, gt=0)
    """Largest difference of transformers' and Megatron's logits, fp32; more fails the stage."""
    parity_windows: tuple[int, ...] = Field((64, 64, 64, 200, 1000), min_length=1)
    """Lengths of the windows of held-out text on which logits are compared, cut to the context.
    Where YaRN extends a context, one window more goes beyond the original length."""
    num_greedy_tokens: int = Field(16, ge=1)
    """Tokens that vLLM and transformers each continue greedily from each window's beginning; they
    must be equal."""
    serving_requests: int = Field(8, ge=0)
    """Requests that the policy's own server must answer as it must, each whole and as a stream:
    calls of declared tools with arguments of their schemas, ids, finish reasons, equal streams. It
    runs on one device; 0 starts none, and the card says so."""
    bf16: bool = True
    """Publish the same weights rounded to bf16, too, each model as a repository of its own."""
