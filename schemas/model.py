"""The shape of a K2 model (arXiv:2507.20534, table 2), stated once and shared by all stages."""

from typing import Self

from pydantic import Field, model_validator

from schemas.base import Config


class ModelShape(Config):
    """A sparse mixture of experts with multi-head latent attention (DeepSeek-V3 layout)."""

    vocab_size: int = Field(2048, ge=300)
    """Rows of the embedding and of the untied output layer, special tokens included."""
    num_layers: int = Field(4, ge=1)
    """Transformer layers, the leading dense ones included."""
    num_dense_layers: int = Field(1, ge=0)
    """Leading layers with a dense feed-forward block instead of experts (K2: 1)."""
    hidden_size: int = Field(192, ge=16, multiple_of=8)
    """Width of the residual stream; experts' products take rows of 16 bytes."""
    num_heads: int = Field(4, ge=1)
    """Attention heads (K2: 64)."""
    q_lora_rank: int | None = Field(96, ge=8)
    """Rank of the compressed queries (K2: 1536); None leaves them uncompressed (Moonlight)."""
    kv_lora_rank: int = Field(64, ge=8)
    """Rank of the compressed keys and values (K2: 512)."""
    qk_nope_head_dim: int = Field(32, ge=8)
    """Query and key width without position, a head (K2: 128)."""
    qk_rope_head_dim: int = Field(16, ge=8, multiple_of=2)
    """Query and shared-key width with rotary position, a head (K2: 64)."""
    v_head_dim: int = Field(32, ge=8)
    """Value width a head (K2: 128)."""
    ffn_hidden_size: int = Field(512, ge=16)
    """Inner width of the dense feed-forward block (K2: 18432)."""
    moe_ffn_hidden_size: int = Field(128, ge=16, multiple_of=8)
    """Inner width of one expert (K2: 2048)."""
    num_experts: int = Field(16, ge=2)
    """Routed experts a layer (K2: 384); of one, transformers cannot choose its best two."""
    experts_per_token: int = Field(2, ge=1)
    """Routed experts that each token visits (K2: 8)."""
    num_shared_experts: int = Field(1, ge=1)
    """Experts that every token visits (K2: 1)."""
    num_expert_groups: int = Field(1, ge=1)
    """Groups that the routed experts form (DeepSeek-V3: 8; K2: 1, none)."""
    groups_per_token: int = Field(1, ge=1)
    """Groups that a token's experts are of, those with the largest two scores (DeepSeek-V3: 4)."""
    routed_scaling_factor: float | None = Field(None, gt=0)
    """Scale of the routed experts' sum; None derives it from (num_experts, experts_per_token)."""
    rope_theta: float = Field(50_000.0, gt=0)
    """Rotary base (K2: 50,000)."""
    yarn_factor: float = Field(1.0, ge=1)
    """Context extension by YaRN; 1 is plain rotary (K2: 32, from 4,096 to 128K)."""
    yarn_beta_fast: float = Field(1.0, gt=0)
    """Rotations at which YaRN's ramp begins, in K2's released config; DeepSeek-V3 has 32."""
    yarn_beta_slow: float = Field(1.0, gt=0)
    """Rotations at which it ends."""
    yarn_mscale: float = Field(1.0, gt=0)
    """Growth of the attention's scale with the logarithm of the extension."""
    max_position_embeddings: int = Field(1024, ge=32)
    """Longest context, in tokens, that the model is served with."""
    original_max_position_embeddings: int = Field(1024, ge=32)
    """Context, in tokens, before YaRN's extension."""
    rms_norm_eps: float = Field(1e-6, gt=0)
    """Epsilon of every RMSNorm."""
    init_std: float = Field(0.02, gt=0)
    """Standard deviation of the initial weights (DeepSeek-V3: 0.006; K2: undisclosed)."""
    bias_update_rate: float = Field(1e-3, ge=0)
    """Step of the aux-loss-free router bias (arXiv:2502.16982; K2's value is undisclosed)."""
    seq_aux_loss: float = Field(1e-3, ge=0)
    """Coefficient of the sequence-wise balance loss (0.001 in the released config)."""

    def with_router_bias(self, *, moving: bool) -> Self:
        """The same shape whose balancing bias moves in training, or stays as it is."""
        return self if moving else self.model_copy(update={"bias_update_rate": 0.0})

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.experts_per_token > self.num_experts:
            raise ValueError(
                f"experts_per_token={self.experts_per_token} exceeds num_experts="
                f"{self.num_experts}: a token cannot visit more experts than there are"
            )
        self._check_groups()
        if self.num_dense_layers > self.num_layers:
            raise ValueError(
                f"num_dense_layers={self.num_dense_layers} exceeds num_layers={self.num_layers}"
            )
        if self.max_position_embeddings < self.original_max_position_embeddings:
            raise ValueError(
                f"max_position_embeddings={self.max_position_embeddings} is below "
                f"original_max_position_embeddings={self.original_max_position_embeddings}"
            )
        return self

    def _check_groups(self) -> None:
        groups, chosen = self.num_expert_groups, self.groups_per_token
        if groups == 1 == chosen:
            return
        if self.num_experts % groups or self.num_experts < 2 * groups or chosen > groups:
            raise ValueError(
                f"num_experts={self.num_experts} in num_expert_groups={groups}, of which a token "
                f"takes groups_per_token={chosen}: groups are equal and of two experts at least"
            )
        if self.experts_per_token > chosen * self.num_experts // groups:
            raise ValueError(
                f"experts_per_token={self.experts_per_token} are more than groups_per_token="
                f"{chosen} groups of {self.num_experts // groups} hold"
            )
