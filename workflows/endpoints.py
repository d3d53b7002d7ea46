"""An endpoint that a user names: checked before anything is asked of it."""

import os
from urllib.parse import urlsplit

from pydantic import ValidationError

from k2core.agents.endpoint import ChatModel, EndpointError
from schemas.chat import Message
from schemas.endpoint import Endpoint
from workflows.errors import MendableError


def endpoint_at(url: str, model: str, key: str = "", **more: float) -> Endpoint:
    """The endpoint of an address.

    Args:
        url: its base address.
        model: the model's name there.
        key: environment variable that holds its key; empty where none is asked for.
        more: other fields of `Endpoint`.

    Raises:
        MendableError: the address is none, or the variable is not set.
    """
    try:
        endpoint = Endpoint.model_validate(
            {"url": url, "model": model, "api_key_variable": key, **more}
        )
        host = urlsplit(url).hostname
    except ValidationError as error:
        raise MendableError(f"URL {url!r}: {error.errors()[0]['msg']}") from None
    if not host:
        raise MendableError(f"URL {url!r} names no host: write it as http://HOST:PORT/v1")
    if key and not os.environ.get(key):
        raise MendableError(f"set the environment variable {key}: it is to hold the key of {url}")
    return endpoint


def check_answers(endpoint: Endpoint) -> None:
    """Ask one short question, so that a wrong address fails now and not item by item.

    Raises:
        MendableError: there is no answer; with what came instead.
    """
    model = ChatModel(endpoint.model_copy(update={"max_retries": 1, "timeout_s": 60.0}))
    try:
        model.say([Message(role="user", content="Hello.")], (), 1, 0)
    except EndpointError as error:
        raise MendableError(f"no answer from {error}") from None
