"""One vLLM engine in the current process: exact on the CPU, and updated while it serves."""

import gc
import importlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from k2core.cycles import no_search_for_cycles, search_rarely
from k2core.engines.conversation import Conversation
from k2core.engines.protocol import Arrival, Ask, Completion, Decoding, Model, find_folder
from k2core.engines.vllm.arguments import Devices, EngineLimits, engine_arguments
from k2core.engines.vllm.environment import prepare_environment
from k2core.engines.vllm.stepper import VllmStepper, sampling_params
from schemas.placement import Serving


def import_vllm() -> None:
    """Import it, and count what came with it as there to stay.

    Millions of objects come: that the garbage collector looks through them again and again, in the
    import and whenever vLLM asks it to, takes a third of the seconds in which an engine starts.
    """
    prepare_environment()
    if "vllm" in sys.modules:
        return
    with no_search_for_cycles(stays=True):
        importlib.import_module("vllm.entrypoints.llm")
    search_rarely()


class VllmEngine:
    """A folder in the Hugging Face layout, served; a `k2core.engines.protocol.StreamingEngine`.

    Its weights are updated through the four calls of vLLM's `VLLMWeightSyncClient`.

    Args:
        model: weights, config.json and tokenizer files.
        serving: how the model lies over devices, and its arithmetic.
        limits: lengths and batch.
        one_node: its devices are in one machine.
    """

    def __init__(
        self, model: Model, serving: Serving, limits: EngineLimits, *, one_node: bool = True
    ) -> None:
        import_vllm()
        import torch
        from vllm import LLM

        devices, folder = Devices(torch.cuda.is_available(), one_node), find_folder(model)
        self._llm: Any = LLM(**engine_arguments(folder, serving, limits, devices))
        self.runs_lean = not devices.gpu and serving.devices == 1 and self._run_lean()
        self._weights, self._slots = "", limits.max_num_seqs
        self.load(folder)

    def _run_lean(self) -> bool:
        return all(self._llm.collective_rpc("run_lean"))

    @property
    def weights(self) -> str:
        """Digest of the served weights."""
        return self._weights

    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Decoding]
    ) -> list[Completion]:
        """Continue each prompt; log p is of the distribution that was sampled from."""
        arrivals = sorted(self.stream(prompts, sampling))
        return [arrival.completion for arrival in arrivals]

    def stream(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[Decoding]
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

    def converse(self, first: Sequence[Ask], most_tokens: int | None = None) -> Conversation:
        """Dialogues without a barrier; nothing else is asked meanwhile."""
        stepper = VllmStepper(self._llm, halts=most_tokens is not None)
        return Conversation(stepper, first, self._slots, most_tokens)

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

    def load(self, model: Model) -> str:
        """Serve a checkpoint of this shape: each worker reads it; returns the receipt."""
        folder = find_folder(model)
        return self._serve_anew(self._llm.collective_rpc("load_folder", args=(str(folder),)))

    def init_weight_transfer_engine(self, init_info: dict[str, object]) -> None:
        """Meet the trainer."""
        self._llm.collective_rpc("init_weight_transfer_engine", args=(init_info,))

    def start_weight_update(self) -> None:
        """Weights will come."""
        self._llm.collective_rpc("start_weight_update")

    def update_weights(self, update_info: dict[str, object]) -> None:
        """All of them, or where some are.

        Raises:
            WireError: a round broke off.
        """
        from k2core.engines.wire import WireError

        self._llm.collective_rpc("update_weights", args=(update_info,))
        if faults := [fault for fault in self._llm.collective_rpc("weights_fault") if fault]:
            raise WireError(faults[0])

    def finish_weight_update(self, weight_version: str | None = None) -> str:
        """Serve them from now on; returns the receipt."""
        self._llm.collective_rpc("finish_weight_update")
        return self._serve_anew(self._llm.collective_rpc("weights_receipt"))

    def sleep(self) -> None:
        """Give the GPU's memory back: keys, values, and weights, which will be sent anew."""
        self._llm.sleep(level=2)

    def wake_up(self, tag: str) -> None:
        """Take it again: for `weights` before they are sent, then for the `kv_cache`."""
        self._llm.wake_up(tags=[tag])

    def close(self) -> None:
        """Free the memory."""
        self._llm = None
        gc.collect()

    def _serve_anew(self, receipts: list[str]) -> str:
        if len(set(receipts)) != 1:
            raise RuntimeError(f"workers were given different weights: {', '.join(receipts)}")
        # W4: cached keys and values are the old weights' (7 nats stale otherwise).
        if not self._llm.reset_prefix_cache():
            raise RuntimeError("the prefix cache could not be reset: is a request still running?")
        self._weights = receipts[0]
        return self._weights

    def _run(self, prompts: Sequence[Sequence[int]], sampling: list[Any]) -> list[Any]:
        tokens = [{"prompt_token_ids": list(prompt)} for prompt in prompts]
        outputs: list[Any] = self._llm.generate(tokens, sampling, use_tqdm=False) if tokens else []
        return outputs


def _completion(output: Any) -> Completion:
    tokens = list(output.token_ids)
    found = zip(tokens, output.logprobs, strict=True)
    return Completion(tokens, [lp[token].logprob for token, lp in found], output.finish_reason)
