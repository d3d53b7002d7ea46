"""The published recipes, at their own size: Moonlight 16B-A3B and Kimi K2 1T-A32B.

What the reports leave open (mixtures, initialisation, balancing, RL's K and tau) is this
pipeline's default, or Moonlight's where Moonlight says it.
"""

from schemas.model import ModelShape
from schemas.optim import Guards, OptimConfig, Schedule
from schemas.placement import Placement, Serving
from schemas.pretrain import Phase, PretrainConfig
from schemas.problems import ProblemsConfig, PuzzleSource, Sources
from schemas.recipe import Recipe
from schemas.release import ReleaseConfig
from schemas.rl import RlConfig
from schemas.rubrics import CriticConfig, CriticPairs
from schemas.sft import SftConfig
from schemas.tokenize import TokenizeConfig

_VOCAB_SIZE = 163_840

MOONLIGHT_SHAPE = ModelShape(
    vocab_size=_VOCAB_SIZE,
    num_layers=27,
    num_dense_layers=1,
    hidden_size=2048,
    num_heads=16,
    q_lora_rank=None,
    kv_lora_rank=512,
    qk_nope_head_dim=128,
    qk_rope_head_dim=64,
    v_head_dim=128,
    ffn_hidden_size=11_264,
    moe_ffn_hidden_size=1408,
    num_experts=64,
    experts_per_token=6,
    num_shared_experts=2,
    rope_theta=50_000.0,
    max_position_embeddings=8192,
    original_max_position_embeddings=8192,
    rms_norm_eps=1e-5,
)
"""Moonlight (arXiv:2502.16982, appendix A; its released config.json)."""

K2_SHAPE = ModelShape(
    vocab_size=_VOCAB_SIZE,
    num_layers=61,
    num_dense_layers=1,
    hidden_size=7168,
    num_heads=64,
    q_lora_rank=1536,
    kv_lora_rank=512,
    qk_nope_head_dim=128,
    qk_rope_head_dim=64,
    v_head_dim=128,
    ffn_hidden_size=18_432,
    moe_ffn_hidden_size=2048,
    num_experts=384,
    experts_per_token=8,
    num_shared_experts=1,
    rope_theta=50_000.0,
    yarn_factor=32.0,
    max_position_embeddings=131_072,
    original_max_position_embeddings=4096,
    rms_norm_eps=1e-6,
    init_std=0.006,
)
"""Kimi K2 (arXiv:2507.20534, table 2; its released config.json). `init_std` is DeepSeek-V3's."""

_PUZZLES = (
    "countdown", "cryptarithm", "family_relationships", "futoshiki", "graph_color", "gsm_symbolic",
    "intermediate_integration", "knights_knaves", "list_functions", "maze", "mini_sudoku",
    "number_sequence", "polynomial_equations", "propositional_logic", "rush_hour",
    "simple_geometry", "sokoban", "sudoku", "syllogism", "time_intervals", "tower_of_hanoi",
    "word_ladder", "zebra_puzzles",
)  # fmt: skip
"""Generators of reasoning-gym, each judged by its own scorer."""


def _problems() -> ProblemsConfig:
    """What a large model is asked beside the families, which teach the form of calls.

    K2's own problems are not public; `sources.files` takes whoever's there are.
    """
    puzzles = tuple(
        PuzzleSource(dataset=name, name=name, size=20_000, max_tokens=16_384) for name in _PUZZLES
    )
    return ProblemsConfig(reworded_frac=0.8, coined_frac=0.5, sources=Sources(puzzles=puzzles))


_K2_PHASES = (
    Phase(name="anneal", num_tokens=400 * 10**9, lr=2e-5, final_lr=8.7e-6, decay="linear"),
    Phase(
        name="long",
        num_tokens=60 * 10**9,
        lr=8.7e-6,
        final_lr=7e-6,
        decay="linear",
        sequence_length=32_768,
    ),
)
"""The annealing and long-context stages (section 2.5), at 67 M tokens a step as before them."""


def _bf16(**settings: object) -> OptimConfig:
    """MuonClip in bf16 over fp32 masters, Newton-Schulz too, as published."""
    precise = {"precision": "bf16", "newton_schulz_precision": "bf16"}
    return OptimConfig.model_validate(precise | settings)


def _rl(
    optim: OptimConfig,
    num_iterations: int,
    max_tokens: int | None = None,
    critic: CriticConfig | None = None,
) -> RlConfig:
    """RL whose ratio is to the trainer's own log p.

    A bf16 engine's of a large mixture of experts differ by 1e-2 and more a token; samples are
    weighted by the difference.
    """
    return RlConfig(
        optim=optim,
        num_iterations=num_iterations,
        decay_iterations=num_iterations,
        num_problems=65_536,
        problems_per_iteration=128,
        samples_per_problem=16,
        max_tokens=max_tokens,
        max_truncated_frac=0.5,
        max_repeats=16,
        old_logprobs="trainer",
        mismatch="truncate",
        critic=critic,
        max_num_seqs=96,
    )


def moonlight_16b() -> Recipe:
    """Moonlight: 16 B parameters, 3 B of them active, 5.7 T tokens on a few H800 nodes.

    Its schedule (section 3.2): 33 B tokens of warm-up to 4.2e-4, cosine to 4.2e-5 at 5.2 T, a
    short re-warm-up and a linear end; here one cosine over the steps of all 5.7 T.
    """
    steps = 5_700 * 10**9 // (2048 * 8192)
    return Recipe(
        name="moonlight_16b",
        model=MOONLIGHT_SHAPE,
        problems=_problems(),
        tokenize=TokenizeConfig(vocab_size=_VOCAB_SIZE, train_tokens=5_700 * 10**9),
        pretrain=PretrainConfig(
            optim=_bf16(lr=4.2e-4, nesterov=True),
            schedule=Schedule(num_steps=steps, warmup_frac=0.006, decay_frac=0.994),
            sequence_length=8192,
            batch_size=2048,
            checkpoint_every=1000,
        ),
        sft=SftConfig(
            optim=_bf16(lr=5e-5, nesterov=True),
            schedule=Schedule(num_steps=4000, decay_frac=0.95),
            sequence_length=8192,
            batch_size=256,
        ),
        rl=_rl(_bf16(lr=1e-6, weight_decay=0.0), num_iterations=200),
        release=ReleaseConfig(name="moonlight-16b-a3b", serving_requests=0),
        placement=Placement(
            num_ranks=128, micro_batch=1, pp=4, ep=8, gpu="h800", serving=Serving(num_engines=16)
        ),
    )


def k2_1t() -> Recipe:
    """Kimi K2: 1,026 B parameters, 32.9 B active, 15.5 T tokens (sections 2.4 and 2.5).

    67 M tokens a step; 500 steps of warm-up, 10 T tokens at 2e-4, 5.5 T of cosine to 2e-5, then
    2e-5 to 7e-6 over 400 B tokens at 4,096 and 60 B at 32,768. Where the rate stands between these
    two is not said: one line over both, cut where the sequences grow. YaRN's factor of the
    released config from the long phase on; a batch that diverges is left out (both are choices).
    """
    steps = 15_500 * 10**9 // (16_384 * 4096)
    return Recipe(
        name="k2_1t",
        model=K2_SHAPE,
        problems=_problems(),
        tokenize=TokenizeConfig(vocab_size=_VOCAB_SIZE, train_tokens=15_960 * 10**9),
        pretrain=PretrainConfig(
            optim=_bf16(lr=2e-4, qk_clip_tau=100.0, fp8_storage=True),
            schedule=Schedule(
                num_steps=steps, warmup_frac=500 / steps, decay_frac=5.5 / 15.5, final_lr_frac=0.1
            ),
            phases=_K2_PHASES,
            yarn_factor=1.0,
            guards=Guards(nonfinite="skip", spike="skip"),
            sequence_length=4096,
            batch_size=16_384,
            checkpoint_every=500,
        ),
        sft=SftConfig(
            optim=_bf16(lr=2e-5, fp8_storage=True),
            schedule=Schedule(num_steps=4000, decay_frac=0.95),
            sequence_length=32_768,
            batch_size=256,
            critic=CriticPairs(),
        ),
        rl=_rl(
            _bf16(lr=1e-6, weight_decay=0.0, fp8_storage=True),
            num_iterations=400,
            max_tokens=32_768,
            critic=CriticConfig(),
        ),
        release=ReleaseConfig(name="kimi-k2-1t-a32b", serving_requests=0),
        placement=Placement(
            num_ranks=512,
            micro_batch=1,
            pp=16,
            ep=16,
            tokens_a_rank=8192,
            recompute="selective",
            offload=True,
            gpu="h800",
            serving=Serving(num_engines=4, tp=8, pp=8, expert_parallel=True),
        ),
    )
