"""Recipes that a person can run: a day on one 80 GB GPU, some days on a node of eight.

In the manner of nanochat's speedrun: text of the Hub, one pass, then tools and rewards. What such a
model becomes was never seen: no GPU was at hand.
"""

from schemas.ingest import FilesConfig, IngestConfig
from schemas.model import ModelShape
from schemas.optim import Guards, OptimConfig, Schedule
from schemas.placement import Placement, Serving
from schemas.pretrain import PretrainConfig
from schemas.problems import ProblemsConfig
from schemas.recipe import Recipe
from schemas.release import ReleaseConfig
from schemas.rl import RlConfig
from schemas.sft import SftConfig
from schemas.tokenize import TokenizeConfig

_VOCAB_SIZE = 32_768
_LENGTH = 2048
_ROWS = 256
_STEP_TOKENS = _ROWS * _LENGTH

ONE_GPU_SHAPE = ModelShape(
    vocab_size=_VOCAB_SIZE,
    num_layers=16,
    num_dense_layers=1,
    hidden_size=1024,
    num_heads=8,
    q_lora_rank=None,
    kv_lora_rank=512,
    qk_nope_head_dim=128,
    qk_rope_head_dim=64,
    v_head_dim=128,
    ffn_hidden_size=4096,
    moe_ffn_hidden_size=512,
    num_experts=64,
    experts_per_token=6,
    num_shared_experts=2,
    max_position_embeddings=4096,
    original_max_position_embeddings=4096,
)
"""1.7 B parameters, 0.4 B of them active; heads as Moonlight's, which GPU kernels are made for."""

ONE_NODE_SHAPE = ONE_GPU_SHAPE.model_copy(
    update={
        "num_layers": 20,
        "hidden_size": 2048,
        "num_heads": 16,
        "ffn_hidden_size": 8192,
        "moe_ffn_hidden_size": 1024,
    }
)
"""8.4 B parameters, 1.5 B active."""


def _text(sample: str) -> IngestConfig:
    """FineWeb-Edu's sample of so many tokens, beside the installed sources."""
    return IngestConfig(
        files=FilesConfig(
            folder=f"hf://datasets/HuggingFaceFW/fineweb-edu/sample/{sample}",
            pattern="*.parquet",
            name=f"fineweb-edu-{sample.lower()}",
            domain="web",
            license="ODC-By-1.0",
            credit="FineWeb-Edu, Hugging Face",
        )
    )


def _optim(lr: float, **settings: object) -> OptimConfig:
    precise = {"precision": "bf16", "newton_schulz_precision": "bf16"}
    return OptimConfig.model_validate({"lr": lr} | precise | settings)


def _trainings(num_tokens: int, lr: float) -> dict[str, PretrainConfig | SftConfig | RlConfig]:
    return {
        "pretrain": PretrainConfig(
            optim=_optim(lr, nesterov=True),
            schedule=Schedule(num_steps=num_tokens // _STEP_TOKENS, warmup_frac=0.01),
            guards=Guards(nonfinite="skip", spike="skip"),
            sequence_length=_LENGTH,
            batch_size=_ROWS,
            checkpoint_every=500,
        ),
        "sft": SftConfig(
            optim=_optim(lr / 10, nesterov=True),
            schedule=Schedule(num_steps=400, decay_frac=0.95),
            sequence_length=_LENGTH,
            batch_size=64,
        ),
        "rl": RlConfig(
            optim=_optim(lr / 200, weight_decay=0.0),
            num_iterations=100,
            max_tokens=_LENGTH,
            old_logprobs="trainer",
            mismatch="truncate",
            max_num_seqs=96,
        ),
    }


def one_gpu() -> Recipe:
    """1.7 B parameters on 9.9 B tokens: about a day on one H100, its engine on the same GPU."""
    tokens = 9_900_000_000
    return Recipe.model_validate(
        {
            "name": "one_gpu",
            "model": ONE_GPU_SHAPE,
            "ingest": _text("10BT"),
            "tokenize": _tokens(tokens),
            "problems": ProblemsConfig(reworded_frac=0.8, coined_frac=0.5),
            **_trainings(tokens, lr=6e-4),
            "release": ReleaseConfig(name="k2-one-gpu", serving_requests=0),
            "placement": Placement(
                num_ranks=1,
                micro_batch=8,
                recompute="selective",
                gpu="h100",
                ranks_per_node=1,
                serving=Serving(num_engines=1, memory_frac=0.4, sleep=True),
            ),
        }
    )


def one_node() -> Recipe:
    """8.4 B parameters on 99 B tokens: some days on eight H100, an engine on each."""
    tokens = 99_000_000_000
    return Recipe.model_validate(
        {
            "name": "one_node",
            "model": ONE_NODE_SHAPE,
            "ingest": _text("100BT"),
            "tokenize": _tokens(tokens),
            "problems": ProblemsConfig(reworded_frac=0.8, coined_frac=0.5),
            **_trainings(tokens, lr=4e-4),
            "release": ReleaseConfig(name="k2-one-node", serving_requests=0),
            "placement": Placement(
                num_ranks=8,
                micro_batch=4,
                ep=8,
                recompute="selective",
                gpu="h100",
                data_workers=64,
                serving=Serving(num_engines=8, memory_frac=0.5, sleep=True),
            ),
        }
    )


def _tokens(count: int) -> TokenizeConfig:
    return TokenizeConfig(
        vocab_size=_VOCAB_SIZE, mixture={"web": 1.0}, train_tokens=count, heldout_frac=0.001
    )
