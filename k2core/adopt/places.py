"""Where a checkpoint is brought from: a folder, the Hub or a bucket; its files, fetched as needed.

Only files of known kinds are listed at all: code that lies beside weights is neither fetched nor
run, and pickles are never opened.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from k2core.adopt.errors import AdoptError
from k2core.model.shards import INDEX
from k2core.store.bucket import SCHEMES, Bucket

CONFIG, TOKENIZER, TIKTOKEN = "config.json", "tokenizer.json", "tiktoken.model"
_WANTED = (
    "*.safetensors",
    INDEX,
    CONFIG,
    TOKENIZER,
    TIKTOKEN,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "README.md",
)
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


class CheckpointFolder(Protocol):
    """A folder somewhere, without folders in it."""

    def list_names(self) -> list[str]:
        """All its files."""

    def fetch(self, name: str) -> Path:
        """One of them on this machine."""


class _Folder:
    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise AdoptError(
                f"{folder} is no folder: give one, or hf://ORG/NAME, or s3://BUCKET/FOLDER"
            )
        self._folder = folder

    def list_names(self) -> list[str]:
        return [path.name for path in self._folder.iterdir() if path.is_file()]

    def fetch(self, name: str) -> Path:
        return self._folder / name


class _InBucket:
    def __init__(self, address: str, scratch: Path) -> None:
        with _reached(address):
            self._bucket = Bucket(address)
        self._address, self._scratch = address, scratch
        self._sizes: Mapping[str, int] = {}

    def list_names(self) -> list[str]:
        self._sizes = {n: s for n, s in self._bucket.sizes("").items() if "/" not in n}
        if not self._sizes:
            raise AdoptError(f"{self._address} holds no files")
        return list(self._sizes)

    def fetch(self, name: str) -> Path:
        """What was fetched before a kill is gone on with."""
        path, aside = self._scratch / name, self._scratch / f"{name}.aside"
        if path.exists():
            return path
        self._scratch.mkdir(parents=True, exist_ok=True)
        with aside.open("ab") as out:
            for part in self._bucket.read_parts(name, out.tell(), self._sizes[name]):
                out.write(part)
        aside.rename(path)
        return path


class _OnHub:
    """Of the Hub, through its own client, which resumes; never run where nothing is reachable."""

    def __init__(self, address: str, scratch: Path) -> None:
        found = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", address)
        if not found:
            raise AdoptError(f"{address} is no model of the Hub: write hf://ORG/NAME@REVISION")
        self._repository, self._revision = found.groups()
        self._scratch = scratch

    def list_names(self) -> list[str]:
        from huggingface_hub import HfApi

        return HfApi().list_repo_files(self._repository, revision=self._revision)

    def fetch(self, name: str) -> Path:
        from huggingface_hub import hf_hub_download

        return Path(
            hf_hub_download(
                self._repository, name, revision=self._revision, local_dir=self._scratch
            )
        )


class CheckpointSource:
    """A checkpoint's files.

    Args:
        address: as `AdoptConfig.source`.
        scratch: where files that are far are fetched to.

    Raises:
        AdoptError: there is no such place, or it holds nothing that may be read.
    """

    def __init__(self, address: str, scratch: Path) -> None:
        self.address = address
        self._place = _open_place(address, scratch)
        with _reached(address):
            names = sorted(self._place.list_names())
        self.names = [n for n in names if any(fnmatchcase(n, each) for each in _WANTED)]
        """Of the kinds that are read."""
        pickled = [n for n in names if any(fnmatchcase(n, each) for each in _PICKLED)]
        if pickled and not any(name.endswith(".safetensors") for name in self.names):
            raise AdoptError(
                f"{address} holds its weights as pickles ({', '.join(pickled[:3])}), which run "
                "code when they are loaded: convert them to safetensors where you trust them "
                "(transformers' save_pretrained does)"
            )

    def fetch(self, name: str) -> Path:
        """A file on this machine.

        Raises:
            AdoptError: there is none.
        """
        if name not in self.names:
            raise AdoptError(f"{self.address} has no {name}")
        with _reached(self.address):
            return self._place.fetch(name)

    def hash(self, names: list[str]) -> dict[str, str]:
        """Name -> SHA-256 of its content."""
        return {name: _hash(self.fetch(name)) for name in sorted(names)}


def digest_of(hashes: Mapping[str, str]) -> str:
    """One digest of names and contents."""
    lines = "".join(f"{found}  {name}\n" for name, found in sorted(hashes.items()))
    return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"


def pin(address: str) -> str:
    """The address as it means the same tomorrow: an absolute path, a commit of the Hub."""
    if address.startswith("hf://") and "@" not in address:
        from huggingface_hub import HfApi

        with _reached(address):
            commit = HfApi().model_info(address.removeprefix("hf://")).sha
        return f"{address}@{commit}"
    return address if "://" in address else str(Path(address).expanduser().absolute())


@contextmanager
def _reached(address: str) -> Iterator[None]:
    """What a place says where it is away, unknown or closed to us, in one line."""
    try:
        yield
    except AdoptError:
        raise
    except Exception as error:  # the client's, its transport's, the machine's
        said = " ".join(str(error).split())[:300]
        raise AdoptError(f"{address} cannot be read: {type(error).__name__}: {said}") from error


def _open_place(address: str, scratch: Path) -> CheckpointFolder:
    scheme = address.partition("://")[0] if "://" in address else "file"
    if scheme == "file":
        return _Folder(Path(address.removeprefix("file://")))
    if scheme == "hf":
        return _OnHub(address, scratch)
    if scheme in SCHEMES:
        return _InBucket(address, scratch)
    known = ", ".join(f"{name}://" for name in ("hf", *SCHEMES))
    raise AdoptError(f"{address}: {scheme}:// is not known; give a folder or one of {known}")


def _hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
