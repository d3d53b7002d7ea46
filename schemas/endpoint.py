"""An OpenAI-compatible chat endpoint."""

from pydantic import Field

from schemas.base import Config


class Endpoint(Config):
    """Where a model answers chats, and how it samples."""

    url: str = Field(pattern=r"^https?://")
    """Base address, e.g. `http://localhost:8000/v1` of `vllm serve`."""
    model: str
    """The model's name there."""
    api_key_variable: str = ""
    """Environment variable that holds the key; empty where none is asked for."""
    temperature: float = Field(1.0, ge=0, le=2)
    """Sampling temperature."""
    max_concurrent: int = Field(32, ge=1)
    """Dialogues in flight together."""
    max_retries: int = Field(5, ge=0)
    """Times that a refused (429) or failed (5xx) request is made again, with growing pauses."""
    timeout_s: float = Field(120.0, gt=0)
    """Seconds that one request may take."""
