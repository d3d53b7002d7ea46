# mypy: ignore-errors
"""TRL's GRPO on the problems of a spec, judged by the same verifiers; a line a step.

Run by `bench.rl` with an interpreter that has TRL beside this project's own packages.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from bench.rl_spec import SAMPLES, UNFINISHED, Spec, Step, cpu_seconds
from k2core.chat import ChatCodec, ToolCallSyntaxError
from k2core.rewards import Outcome, verify
from k2core.sandbox import Sandbox


class Watch(TrainerCallback):
    """When each step began and ended; parts are booked by those who do them."""

    def __init__(self) -> None:
        self.steps, self.parts = list[Step](), dict[str, float]()
        self.tokens, self.reward, self._begun, self._spent = 0, 0.0, 0.0, 0.0

    def on_step_begin(self, *_args: object, **_rest: object) -> None:
        """Before sampling."""
        self._begun, self._spent = time.perf_counter(), cpu_seconds()

    def on_step_end(self, *_args: object, **_rest: object) -> None:
        """After the optimizer's step; what no part booked is the update."""
        seconds = time.perf_counter() - self._begun
        self.parts["update"] = seconds - sum(self.parts.values())
        self.steps.append(
            Step(seconds, cpu_seconds() - self._spent, dict(self.parts), self.tokens, self.reward)
        )
        self.parts.clear()

    def timed(self, part: str, work: Callable[..., object]) -> Callable[..., object]:
        """The same, its seconds booked."""

        def call(*args: object, **rest: object) -> object:
            begun = time.perf_counter()
            try:
                return work(*args, **rest)
            finally:
                self.parts[part] = self.parts.get(part, 0.0) + time.perf_counter() - begun

        return call


def rewarder(
    spec: Spec, codec: ChatCodec, sandbox: Sandbox, watch: Watch
) -> Callable[..., list[float]]:
    """Rewards as our loop gives them."""
    by_id = {p.problem_id: p for step in spec.steps for p in step}

    def reward(ids: Sequence[int], problem_id: str) -> float:
        if ids[-1] not in codec.stop_token_ids:
            return UNFINISHED
        try:
            message = codec.parse(list(ids), 0)
        except ToolCallSyntaxError:
            return UNFINISHED
        return verify(by_id[problem_id], Outcome((message,)), sandbox).reward

    def rewards(
        completion_ids: Sequence[Sequence[int]], problem_id: Sequence[str], **_rest: object
    ) -> list[float]:
        found = [reward(*row) for row in zip(completion_ids, problem_id, strict=True)]
        watch.tokens = sum(map(len, completion_ids))
        watch.reward = sum(found) / len(found)
        return found

    return rewards


def settings_of(spec: Spec, work: Path) -> GRPOConfig:
    """TRL's defaults, but for what the spec says and what CPU cores need."""
    return GRPOConfig(
        output_dir=str(work),
        per_device_train_batch_size=len(spec.steps[0]) * SAMPLES,
        gradient_accumulation_steps=1,
        num_generations=SAMPLES,
        max_completion_length=spec.max_tokens,
        max_steps=len(spec.steps),
        shuffle_dataset=False,
        temperature=spec.temperature,
        learning_rate=spec.lr,
        lr_scheduler_type="constant",
        beta=0.0,
        seed=spec.seed,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        report_to=[],
        logging_strategy="no",
        disable_tqdm=True,
    )


def practise(spec: Spec, work: Path) -> list[Step]:
    """Train.

    Raises:
        ValueError: the tokenizer or the template differ from ours.
    """
    torch.set_num_threads(spec.threads)
    codec, watch = ChatCodec(spec.checkpoint), Watch()
    pad = codec.decode([codec.pad_id])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(spec.checkpoint / "tokenizer.json"),
        eos_token=codec.decode([codec.stop_token_ids[0]]),
        pad_token=pad,
    )
    model = AutoModelForCausalLM.from_pretrained(spec.checkpoint, dtype=torch.float32)
    model.generation_config.eos_token_id = list(codec.stop_token_ids)
    rows = [
        {
            "prompt": codec.decode(codec.encode_prompt(p.messages, p.tools)),
            "problem_id": p.problem_id,
        }
        for step in spec.steps
        for p in step
    ]
    first = spec.steps[0][0]
    if tokenizer(rows[0]["prompt"], add_special_tokens=False).input_ids != codec.encode_prompt(
        first.messages, first.tools
    ):
        raise ValueError("the peer reads a prompt as other tokens")
    with Sandbox.start() as sandbox:
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=rewarder(spec, codec, sandbox, watch),
            args=settings_of(spec, work),
            train_dataset=Dataset.from_list(rows),
            processing_class=tokenizer,
            callbacks=[watch],
        )
        trainer._generate = watch.timed("rollout", trainer._generate)
        trainer._calculate_rewards = watch.timed("reward", trainer._calculate_rewards)
        trainer.train()
    return watch.steps


if __name__ == "__main__":
    found = practise(Spec.read(sys.argv[1]), Path(sys.argv[2]).parent / "trl")
    Path(sys.argv[2]).write_text(json.dumps([step._asdict() for step in found]))
