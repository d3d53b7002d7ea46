"""The harness' model: an endpoint whose answers are read as everywhere here before it sees them.

inspect_ai keeps what a server says as it came: a lone surrogate ends its log, a count below zero
our table, and content in parts one item. `plain_completion` reads them all.
"""

import json
import os
from collections.abc import AsyncIterator
from typing import Protocol

from inspect_ai.model import Model, get_model
from inspect_ai.model._providers.openai_compatible import OpenAICompatibleAPI

from k2core.agents.bodies import BrokenBodyError, plain_completion
from schemas.endpoint import Endpoint
from schemas.outside import NotJsonError, read_json

_BROKEN = 502
"""How the harness is told of an answer that is none: it asks again, as of a gateway's."""


def open_model(endpoint: Endpoint) -> Model:
    """The endpoint as a model of inspect_ai."""
    model = get_model(
        f"openai-api/k2/{endpoint.model}",
        base_url=endpoint.url,
        api_key=os.environ.get(endpoint.api_key_variable, "") or "none",
        memoize=False,
    )
    limit = endpoint.max_answer_bytes

    async def read(response: "_Response") -> None:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > limit:
                break
        response.status_code, found = _read(bytes(body), response.status_code, limit)
        response._content = json.dumps(found).encode()

    assert isinstance(model.api, OpenAICompatibleAPI)
    hooks: dict[str, list[object]] = model.api.http_client.event_hooks
    hooks["response"].append(read)
    return model


class _Response(Protocol):
    """What is read and changed of the client's."""

    status_code: int
    _content: bytes

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Its body, decoded."""


def _read(body: bytes, status: int, limit: int) -> tuple[int, object]:
    """Status and content that the harness is given."""
    text = body.decode(errors="replace")
    if len(body) > limit:
        return _BROKEN, {"error": {"message": f"its answer has more than {limit:,} bytes"}}
    try:
        return status, plain_completion(text) if status == 200 else read_json(text)
    except NotJsonError:  # a proxy's page
        return status, {"error": {"message": text[:300]}}
    except BrokenBodyError as error:
        return _BROKEN, {"error": {"message": str(error)}}
