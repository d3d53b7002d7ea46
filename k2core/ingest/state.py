"""What lies in a place now, as one short text: another where a file came, went or changed."""

import hashlib
import http.client
import json
import urllib.request

from k2core.ingest.places import list_files
from k2core.ingest.records import RecordFault
from k2core.ingest.web import request_for
from schemas.ingest import FilesConfig

_TOLD = ("ETag", "Last-Modified", "Content-Length")


def state_of(config: FilesConfig) -> str:
    """Names, sizes and times of change of its files, hashed; nothing is read.

    Raises:
        SourceError: there is no such folder, or it holds no file that is asked for.
    """
    found = [(file.name, file.size, file.changed) for file in list_files(config, _ignore)]
    if config.folder.lower().startswith(("http://", "https://")):
        found += [(name, 0, value) for name, value in _ask(config.folder).items()]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]


def _ignore(file: str, fault: RecordFault) -> None:
    """What is left out is told when it is read."""


def _ask(address: str) -> dict[str, str]:
    """What a server says of a file; nothing where it does not: then it is fetched and told."""
    try:
        with urllib.request.urlopen(request_for(address, "HEAD"), timeout=20) as answer:
            return {name: value for name in _TOLD if (value := answer.headers.get(name))}
    except (OSError, http.client.HTTPException, ValueError):
        return {}
