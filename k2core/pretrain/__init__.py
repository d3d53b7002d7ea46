"""Pre-training: packed text, MuonClip, a base model (arXiv:2507.20534, section 2)."""

from k2core.pretrain.stage import pretrain_model

__all__ = ["pretrain_model"]
