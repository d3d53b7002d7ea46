"""Release: weights in the Hugging Face layout, with what a stranger needs to trust them."""

from k2core.release.stage import assemble_release

__all__ = ["assemble_release"]
