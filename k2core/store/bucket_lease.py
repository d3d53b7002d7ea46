"""A lease in a bucket: a small object that only its holder rewrites."""

import contextlib
import json
import threading
import time
import uuid

from k2core.store.bucket import Bucket, Tag
from k2core.store.errors import LeaseLostError
from k2core.store.lease import Beat, own_name


class BucketLease:
    """An object, kept alive by a thread while it is held."""

    def __init__(self, bucket: Bucket, name: str, beat: Beat) -> None:
        self.waited, self.holder, self.pause = False, "", beat.every
        self._bucket, self._name, self._beat = bucket, name, beat
        self._id, self._number = uuid.uuid4().hex, 0
        self._tag: Tag | None = None
        self._seen: Tag | None = None
        self._since = 0.0
        """Tag of another's lease, and since when it is that by this machine's steady clock."""
        self._lost = False
        self._ended = threading.Event()
        self._one_at_a_time = threading.Lock()

    def try_take(self) -> bool:
        """Take it, if it is free or its holder has been silent."""
        found = self._bucket.read_tagged(self._name)
        said = json.loads(found.content) if found else {"id": ""}
        if found and said["id"] == self._id:  # the answer to an earlier write was lost
            return self._begin(found.tag)
        if found and said["id"] and not self._is_dead(found.tag):
            self.waited, self.holder = True, said["holder"]
            return False
        tag = self._write(found.tag if found else None)
        return tag is not None and self._begin(tag)

    def check(self) -> None:
        """Write, as that says who holds it."""
        with self._one_at_a_time:
            if self._tag is None:  # never taken, or let go
                return
            tag = None if self._lost else self._write(self._tag)
            if tag is None and not self._lost:  # unless an earlier write came through unanswered
                found = self._bucket.read_tagged(self._name)
                mine = found is not None and json.loads(found.content)["id"] == self._id
                tag = found.tag if found and mine else None
            self._tag, self._lost = tag or self._tag, tag is None
            if self._lost:
                raise LeaseLostError(
                    f"{self._bucket.root}/{self._name} was taken by another process after this one "
                    f"({own_name()}) had been silent for {self._beat.patience:.0f} s: its work "
                    "goes on there"
                )

    def release(self) -> None:
        """Say that nobody has it, unless another one has."""
        self._ended.set()
        with self._one_at_a_time:
            if self._tag and not self._lost:
                self._bucket.put_if(self._name, _content("", self._id, 0), self._tag)
            self._tag = None

    def _begin(self, tag: Tag) -> bool:
        self._tag = tag
        threading.Thread(target=self._keep, name=f"lease {self._name}", daemon=True).start()
        return True

    def _keep(self) -> None:
        while not self._ended.wait(self._beat.every):
            # What cannot be reached may be reached later; what is lost is told by `check`.
            with contextlib.suppress(Exception):
                self.check()
            if self._lost:
                return

    def _is_dead(self, tag: Tag) -> bool:
        if tag != self._seen:
            self._seen, self._since = tag, time.monotonic()
        return time.monotonic() - self._since > self._beat.patience

    def _write(self, tag: Tag | None) -> Tag | None:
        self._number += 1
        return self._bucket.put_if(self._name, _content(self._id, own_name(), self._number), tag)


def holder_of(content: bytes) -> str:
    """Who holds the lease of which this is the object; empty if nobody does."""
    said = json.loads(content)
    return str(said["holder"]) if said["id"] else ""


def _content(id_: str, holder: str, number: int) -> bytes:
    """Another one at each write: the tag of an object may be made of its bytes."""
    return json.dumps({"id": id_, "holder": holder, "number": number}).encode()
