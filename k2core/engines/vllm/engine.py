"""One vLLM engine in the current process: exact on the CPU, and updated while it serves."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from k2core.engines.protocol import Arrival, Completion, Sampling
from k2core.engines.vllm.environment import prepare_environment
from k2core.model.digest import tensors_digest
from k2core.model.hf import load_weights

if TYPE_CHECKING:
    from torch import Tensor

ON_CPU: dict[str, object] = {
    "enforce_eager": True,  # compiling takes longer than it saves here
    # W2: the CPU's own rotary operator is wrong for interleaved multi-head queries (1-8 nats off).
    "compilation_config": {"custom_ops": ["-rotary_embedding"]},
    # W6: a seeded request whose prompt is split over two batches stops the engine: its random
    # generator is rewound, which those of the CPU cannot be. So prompts are not split.
    "enable_chunked_prefill": False,
}
GRAMMARS: dict[str, object] = {
    "backend": "guidance",  # the one that tells a special token from text that spells it
    "disable_any_whitespace": True,  # a small model writes white space to the limit otherwise
}
EXTENSION = "k2core.engines.vllm.worker.WeightUpdates"


class Serving(NamedTuple):
    """How a model is served."""

    max_model_len: int
    """Longest prompt with its continuation, in tokens."""
    max_num_seqs: int
    """Sequences in flight together."""
    dtype: str = "float32"
    """Arithmetic; float32 is what the tests hold against transformers."""
    prefix_caching: bool = True
    """Compute a shared beginning once. Off: a batch's result does not depend on earlier ones."""


class VllmEngine:
    """A folder in the Hugging Face layout, served; a `k2core.engines.protocol.StreamingEngine`.

    Args:
        folder: weights, config.json and tokenizer files.
        serving: lengths, batch and arithmetic.
    """

    def __init__(self, folder: Path, serving: Serving) -> None:
        prepare_environment()
        import torch
        from vllm import LLM

        weights = load_weights(folder)
        self._shapes = {name: tensor.shape for name, tensor in weights.items()}
        self._weights = tensors_digest(weights)
        self._llm: Any = LLM(
            str(folder),
            max_model_len=serving.max_model_len,
            max_num_seqs=serving.max_num_seqs,
            dtype=serving.dtype,
            enable_prefix_caching=serving.prefix_caching,
            worker_extension_cls=EXTENSION,
            # Tokens in, tokens out; only a grammar needs to know what they spell.
            skip_tokenizer_init=not (folder / "tokenizer.json").exists(),
            structured_outputs_config=GRAMMARS,
            logprobs_mode="processed_logprobs",  # of what was sampled from
            seed=0,
            **({} if torch.cuda.is_available() else ON_CPU),
        )

    @property
    def weights(self) -> str:
        """Digest of the served weights."""
        return self._weights

    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Sampling]
    ) -> list[Completion]:
        """Continue each prompt; log p is of the distribution that was sampled from."""
        arrivals = sorted(self.stream(prompts, sampling))
        return [arrival.completion for arrival in arrivals]

    def stream(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Sampling]
    ) -> Iterator[Arrival]:
        """Continue all prompts in one batch; yields each when it is finished."""
        wanted = [sampling_params(how) for how in sampling]
        # A batch of its own numbers: requests are numbered on from this one.
        first = next(self._llm.request_counter) + 1
        tokens = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        names = self._llm.enqueue(tokens, wanted, use_tqdm=False) if tokens else []
        engine = self._llm.llm_engine
        try:
            while engine.has_unfinished_requests():
                for output in engine.step():
                    if output.finished:
                        yield Arrival(
                            int(output.request_id) - first, _completion(output.outputs[0])
                        )
        finally:  # the rest, where nobody waits for it any more
            engine.abort_request(names, internal=True)

    def score(self, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log p of every token but the first, given those before it."""
        from vllm import SamplingParams

        once = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
        scores = []
        for output, tokens in zip(
            self._run(sequences, [once] * len(sequences)), sequences, strict=True
        ):
            rest = zip(output.prompt_logprobs[1:], tokens[1:], strict=True)
            scores.append([found[token].logprob for found, token in rest])
        return scores

    def update_weights(self, tensors: Mapping[str, "Tensor"]) -> str:
        """Serve these weights from now on; every tensor of the model must be among them."""
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        if shapes != self._shapes:
            names = shapes.keys() | self._shapes.keys()
            wrong = sorted(n for n in names if shapes.get(n) != self._shapes.get(n))
            raise ValueError(
                f"{len(wrong)} tensors lack, are unknown or have another shape, e.g. {wrong[0]}: "
                f"{shapes.get(wrong[0])} given, {self._shapes.get(wrong[0])} served"
            )
        self._llm.collective_rpc("load_tensors", args=(dict(tensors),))
        # W4: cached keys and values are the old weights' (7 nats stale otherwise).
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("the prefix cache could not be reset: is a request still running?")
        self._weights = tensors_digest(tensors)
        return self._weights

    def close(self) -> None:
        """Free the memory."""
        self._llm = None
        gc.collect()

    def _run(self, prompts: Sequence[Sequence[int]], sampling: list[Any]) -> list[Any]:
        tokens = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        outputs: list[Any] = self._llm.generate(tokens, sampling, use_tqdm=False) if tokens else []
        return outputs


def sampling_params(how: Sampling) -> Any:
    """The same as vLLM's; with a grammar log p is of what the grammar left."""
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    return SamplingParams(
        max_tokens=how.max_tokens,
        temperature=how.temperature,
        top_p=how.top_p,
        seed=how.seed,
        stop_token_ids=list(how.stop_token_ids),
        logprobs=0,
        detokenize=False,
        structured_outputs=StructuredOutputsParams(grammar=how.grammar) if how.grammar else None,
    )


def _completion(output: Any) -> Completion:
    tokens = list(output.token_ids)
    found = zip(tokens, output.logprobs, strict=True)
    return Completion(tokens, [lp[token].logprob for token, lp in found], output.finish_reason)
