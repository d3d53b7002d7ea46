"""The same client for what is read through fsspec: people's own files, wherever they are."""

import fsspec
from obstore.fsspec import register

_BUCKETS = ("s3", "gs", "abfs")


def let_fsspec_reach_buckets() -> None:
    """Give fsspec's `s3://`, `gs://` and `abfs://` to obstore, where Flyte has not done so yet."""
    missing = [scheme for scheme in _BUCKETS if scheme not in fsspec.registry]
    if missing:
        register(missing)
