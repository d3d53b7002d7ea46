"""The card's example: a question with a tool, run before it is printed."""

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from k2core.release.dialogues import ADD, Sent
from k2core.release.parity import open_model

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

_NEW_TOKENS = 48


class _Generates(Protocol):
    """What transformers' own annotations hide."""

    def generate(
        self, ids: "torch.Tensor", *, max_new_tokens: int, do_sample: bool
    ) -> "torch.Tensor":
        """Prompts with their continuations [rows, tokens]."""


class CardExample(NamedTuple):
    """What is asked, and what the model wrote."""

    messages: list[Sent]
    tools: list[Sent]
    output: str

    def as_code(self, repository: str) -> str:
        """Python that does it again."""
        return f"""```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("{repository}")
tokenizer = AutoTokenizer.from_pretrained("{repository}")
chat = {json.dumps(self.messages)}
tools = {json.dumps(self.tools, indent=4)}
ids = tokenizer.apply_chat_template(
    chat, tools=tools, add_generation_prompt=True, return_tensors="pt", return_dict=True
)
answer = model.generate(**ids, max_new_tokens={_NEW_TOKENS}, do_sample=False)
print(tokenizer.decode(answer[0, ids["input_ids"].shape[1]:]))
```"""


def run_example(folder: Path) -> CardExample:
    """Ask a released model for a sum with a calculator at hand, greedily."""
    import torch
    from transformers import AutoTokenizer

    messages: list[Sent] = [{"role": "user", "content": "What is 12 + 47?"}]
    tools: list[Sent] = [ADD.declaration()]
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template(
        cast("list[dict[str, str]]", messages),
        tools=[*tools],
        add_generation_prompt=True,
        tokenize=False,
    )
    ids = torch.tensor([tokenizer.encode(str(text), add_special_tokens=False)])
    with open_model(folder) as model, warnings.catch_warnings():
        # A model whose layers lie on disk counts as on no device.
        warnings.filterwarnings("ignore", message="You are calling .generate")
        writer = cast("_Generates", model)
        answer = writer.generate(ids, max_new_tokens=_NEW_TOKENS, do_sample=False)
    written = answer[0, ids.shape[1] :]
    return CardExample(messages, tools, str(tokenizer.decode(written.tolist())))
