"""Objects of the S3 server, as the control plane itself reads and writes them."""

import urllib.request
from typing import TYPE_CHECKING

import obstore
from obstore.store import S3Store

if TYPE_CHECKING:
    from tests.s3 import S3


class Blobs:
    """A bucket of its own, by the addresses that Flyte has of it."""

    def __init__(self, server: "S3", bucket: str) -> None:
        self._place, self.root = f"{server.endpoint}/{bucket}", f"s3://{bucket}"
        urllib.request.urlopen(urllib.request.Request(self._place, method="PUT")).close()
        self._store = S3Store(
            bucket,
            endpoint=server.endpoint,
            access_key_id="key",
            secret_access_key="secret",
            region="us-east-1",
            client_options={"allow_http": True},
        )

    def url(self, uri: str) -> str:
        """Where anybody may put an object, as a signed address is."""
        return self._place + uri.removeprefix(self.root)

    async def put(self, uri: str, data: bytes) -> None:
        """Write an object."""
        await obstore.put_async(self._store, self._name(uri), data)

    async def get(self, uri: str) -> bytes:
        """Read an object; nothing where there is none."""
        try:
            found = await obstore.get_async(self._store, self._name(uri))
        except FileNotFoundError:
            return b""
        return bytes(await found.bytes_async())

    def _name(self, uri: str) -> str:
        return uri.removeprefix(self.root).lstrip("/")
