"""An OpenAI-compatible chat endpoint."""

from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from schemas.base import Config


class Endpoint(Config):
    """Where a model answers chats, and how it samples."""

    url: str = Field(pattern=r"^https?://")
    """Base address, e.g. `http://localhost:8000/v1` of `vllm serve`; without credentials."""
    model: str
    """The model's name there."""
    api_key_variable: str = ""
    """Environment variable that holds the key; empty where none is asked for."""
    temperature: float = Field(1.0, ge=0, le=2)
    """Sampling temperature."""
    max_concurrent: int = Field(32, ge=1)
    """Dialogues in flight together."""
    max_retries: int = Field(5, ge=0)
    """Times that a refused (429), failed (5xx) or broken answer is asked for again, with growing
    pauses."""
    timeout_s: float = Field(120.0, gt=0)
    """Seconds that one request may take."""
    max_answer_bytes: int = Field(4 * 2**20, ge=1024)
    """Largest answer that is read."""

    @field_validator("url")
    @classmethod
    def _holds_no_secret(cls, url: str) -> str:
        # Configs are written to lineage, reports and caches: a secret in one is published.
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise PydanticCustomError("credentials", f"is no address: {error}") from None
        if "@" in parts.netloc or "?" in url or "#" in url:
            raise PydanticCustomError(
                "credentials",
                "holds credentials or a query, which lineage would publish: give the bare address, "
                "and name the environment variable of the key in api_key_variable",
            )
        return url
