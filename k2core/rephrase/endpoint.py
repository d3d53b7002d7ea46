"""Rewriting by a model behind an OpenAI-compatible endpoint."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from k2core.agents.endpoint import ChatModel
from k2core.rephrase.rewrite import ChunkRequest, WrittenChunk, make_turns, room_for, seed_of
from schemas.chat import Message
from schemas.endpoint import Endpoint
from schemas.rephrase import RephraseConfig

_CHARACTERS = 4
"""A token's, about: the endpoint's tokenizer is not known here."""


def count_characters(text: str) -> int:
    """Tokens of a text where its tokenizer is not known."""
    return -(-len(text) // _CHARACTERS)


class EndpointWriter:
    """Asks the endpoint for each chunk; implements `k2core.rephrase.rewrite.Writer`.

    Refused (429) and failed (5xx) requests are made again, with growing pauses.

    Args:
        config: sizes and the seed.
        endpoint: where the model is and how it samples.

    Raises:
        EndpointError: the key's environment variable is named and not set.
    """

    def __init__(self, config: RephraseConfig, endpoint: Endpoint) -> None:
        self._config = config
        self._model = ChatModel(endpoint)

    @property
    def name(self) -> str:
        """Where, and which model."""
        return self._model.name

    def count(self, text: str) -> int:
        """Tokens, estimated by characters."""
        return count_characters(text)

    def write(self, requests: Sequence[ChunkRequest]) -> Iterator[WrittenChunk]:
        """Ask for all together; yields each answer when it is there.

        Raises:
            EndpointError: no answer after all retries; says what the server said.
        """
        with ThreadPoolExecutor(self._model.endpoint.max_concurrent) as threads:
            asked = [threads.submit(self._ask, *numbered) for numbered in enumerate(requests)]
            try:
                for answer in as_completed(asked):
                    yield answer.result()
            finally:  # after an error nothing more is asked
                threads.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Nothing is held."""

    def _ask(self, index: int, request: ChunkRequest) -> WrittenChunk:
        limit = self._config.context_tokens * _CHARACTERS
        shown = request.context[-limit:] if limit else ""
        turns = make_turns(request.job.style.instruction, shown, request.chunk)
        chat = [Message.model_validate({"role": role, "content": text}) for role, text in turns]
        room = room_for(self._config, self.count(request.chunk))
        seed = seed_of(self._config, request)
        said = self._model.say(chat, (), room, seed)
        return WrittenChunk(index, said.message.content.strip(), said.num_tokens, not said.finished)
