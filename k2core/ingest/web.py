"""`http://` and `https://`: an address is one file, fetched whole before it is read.

Only the address that the config names is fetched, never one that a document holds. A redirect is
followed within the web; one that leads from a public host to this machine's own or a private
network is refused, as is any other scheme.
"""

import http.client
import io
import ipaddress
import re
import socket
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from typing import IO, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from k2core.ingest.records import FileFaultError
from schemas.ingest import FilesConfig

_STEP = 1 << 16
_TRIES = 3
_AGENT = "k2-ingest"
_KEPT = "%/:?#[]@!$&'()*+,;=~"


class Download(io.BufferedReader):
    """What an address gave."""

    charset = ""
    """What its header says of its text."""
    fault = ""
    """Why it ends before its end; empty if it does not."""


def name_of(address: str) -> str:
    """What the file is called: the path's last part, or the host."""
    parts = urlsplit(address)
    return unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.netloc


def request_for(address: str, method: str = "GET") -> urllib.request.Request:
    """A request for an address, which may have signs that are to be quoted."""
    return urllib.request.Request(
        quote(address, _KEPT), headers={"User-Agent": _AGENT}, method=method
    )


def fetch(address: str, config: FilesConfig) -> Download:
    """The bytes behind an address; what was cut short is asked for again from there on.

    What is cut again and again is given as far as it goes.

    Raises:
        FileFaultError: a status other than 2xx, a refused redirect, too large, or too slow.
    """
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - its reader closes it
    opener = urllib.request.build_opener(_Redirects(_is_private(address)))
    deadline = time.monotonic() + config.fetch_seconds
    header, fault = Message(), ""
    for _ in range(_TRIES):
        try:
            header, fault = _fetch_once(opener, address, config, copy, deadline, header)
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code != 429:
                reason = " ".join(str(error.reason).split())
                said = f"HTTP status {error.code}, {reason}"
                raise FileFaultError(f"{address}: {said}") from None
            fault = f"HTTP status {error.code}"
        except (OSError, http.client.HTTPException) as error:
            fault = f"{type(error).__name__}: {error}"
        except FileFaultError:
            raise
        except ValueError as error:
            raise FileFaultError(f"{address}: {error}") from error
        if not fault or time.monotonic() > deadline:
            break
    if fault and not copy.tell():
        copy.close()
        raise FileFaultError(f"{address}: {fault}")
    copy.seek(0)
    found = Download(copy.detach())
    found.charset, found.fault = header.get_content_charset() or "", fault
    return found


class _Fetched(NamedTuple):
    header: Message
    fault: str
    """Why more is to be asked for; empty if it is whole."""


def _fetch_once(
    opener: urllib.request.OpenerDirector,
    address: str,
    config: FilesConfig,
    copy: IO[bytes],
    deadline: float,
    before: Message,
) -> _Fetched:
    done = copy.seek(0, 2)
    request = request_for(address)
    if done:
        request.add_header("Range", f"bytes={done}-")
    with opener.open(request, timeout=min(60.0, config.fetch_seconds)) as answer:
        header: Message = answer.headers
        if done and (answer.status != 206 or _is_other(header, before, done)):
            copy.truncate(0)
            done = copy.seek(0)
            if answer.status == 206:
                return _Fetched(header, "a part that was not asked for, or of something else")
        told = header.get("Content-Length") or ""
        length = int(told) if told.isdecimal() else -1
        if done + length > config.max_fetch_bytes:
            raise FileFaultError(f"{address}: {done + length} bytes: more than max_fetch_bytes")
        start = done
        for part in _parts(answer):
            if part is None:
                return _Fetched(header, "it is cut short")
            copy.write(part)
            done += len(part)
            if done > config.max_fetch_bytes:
                raise FileFaultError(f"{address}: more than max_fetch_bytes")
            if time.monotonic() > deadline:
                raise FileFaultError(f"{address}: not there within {config.fetch_seconds:g} s")
        lacks = max(0, length - (done - start))
        return _Fetched(header, f"it is cut short: {lacks} bytes are missing" if lacks else "")


def _parts(answer: http.client.HTTPResponse) -> Iterator[bytes | None]:
    """What comes; None where it breaks off."""
    try:
        while part := answer.read1(_STEP):
            yield part
    except (http.client.HTTPException, ConnectionError):
        yield None


def _is_other(header: Message, before: Message, done: int) -> bool:
    """Whether a part begins elsewhere, or is of what came to lie there since."""
    start = re.match(r"bytes (\d+)-", header.get("Content-Range") or "")
    elsewhere = start is not None and int(start[1]) != done
    return elsewhere or header.get("ETag") != before.get("ETag")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows within the web, and into a private network only from one."""

    max_redirections = 5

    def __init__(self, private: bool) -> None:
        self._private = private

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise FileFaultError(f"{req.full_url}: a redirect to {newurl!r} is refused")
        if not self._private and _is_private(newurl):
            raise FileFaultError(f"{req.full_url}: a redirect into a private network is refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_private(address: str) -> bool:
    """Whether any of the host's addresses is no public one."""
    host = urlsplit(address).hostname or ""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False  # it cannot be fetched either
    return any(not ipaddress.ip_address(each.partition("%")[0]).is_global for each in found)
