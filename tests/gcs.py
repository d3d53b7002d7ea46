"""Google Cloud Storage's XML dialect, spoken before the S3 server.

What its clients send is S3's but for names, and for what a condition is about: the generation, a
number that each write makes anew, never the tag.
https://cloud.google.com/storage/docs/xml-api/reference-headers
"""

import itertools
import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import parse_qs, quote

from tests.s3 import S3

Environ = dict[str, object]
_SIGNED = "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, Signature=unread"
_IF, _COPY = "HTTP_X_GOOG_IF_GENERATION_MATCH", "HTTP_X_GOOG_COPY_SOURCE"


class GCS(S3):
    """A server that a client of `gs://` speaks to; its answers can be spoiled like S3's."""

    scheme = "gs"

    def __init__(self) -> None:
        super().__init__()
        self._generations: dict[str, int] = {}
        self._next = itertools.count(1)
        self._generation_lock = threading.Lock()

    def write_key(self, path: Path) -> Path:
        """What `GOOGLE_SERVICE_ACCOUNT` names: the server's address, and that nobody signs."""
        unused = dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
        key = {"gcs_base_url": self.endpoint, "disable_oauth": True, **unused}
        path.write_text(json.dumps(key))
        return path

    def _serve(self, environ: Environ, start: Callable[..., object]) -> Iterable[bytes]:
        path, method = str(environ["PATH_INFO"]), environ["REQUEST_METHOD"]
        query = parse_qs(str(environ["QUERY_STRING"]), keep_blank_values=True)
        with self._generation_lock:
            has = self._generations.get(path, 0)
        if _IF in environ and int(str(environ.pop(_IF))) != has:
            environ["wsgi.input"].read(int(str(environ.get("CONTENT_LENGTH") or 0)))  # type: ignore[attr-defined]
            start("412 Precondition Failed", [("Content-Length", "0")])
            return [b""]
        environ["HTTP_AUTHORIZATION"] = _SIGNED
        plain = (
            quote(path.encode("latin-1")) + "?" + str(environ["QUERY_STRING"])
        )  # no %2D for a hyphen
        environ |= {"REQUEST_URI": plain, "RAW_URI": plain}
        if _COPY in environ:
            environ["HTTP_X_AMZ_COPY_SOURCE"] = environ.pop(_COPY)
        writes = (method == "PUT" and "partNumber" not in query) or "uploadId" in query

        def begin(status: str, headers: list[tuple[str, str]], *rest: object) -> object:
            if status.startswith("2"):
                with self._generation_lock:
                    if method == "DELETE":
                        self._generations.pop(path, None)
                    elif writes and not (method == "PUT" and "uploadId" in query):
                        self._generations[path] = next(self._next)
                    headers.append(("x-goog-generation", str(self._generations.get(path, 0))))
            return start(status, headers, *rest)

        return super()._serve(environ, begin)
