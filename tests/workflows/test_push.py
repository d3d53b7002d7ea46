"""What leaves the machine: shown first, whole, and never with a secret or without its proof."""

import base64
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from k2core.store import Draft
from schemas.artifacts import Release
from schemas.base import Artifact
from tasks.store import open_store
from tests.workflows.conftest import Record
from workflows.cli import app

CARD = "---\nlicense: mit\nmodel-index: []\n---\n# A model\n"
PROOF = {
    "max_logit_difference": 2e-6,
    "readers": [{"reader": "t4", "checked": False, "max_logit_difference": None}],
}


def write_release(folder: Path) -> None:
    for model in ("policy", "policy-bf16"):
        (folder / model).mkdir(parents=True)
        (folder / model / "config.json").write_text("{}")
        (folder / model / "README.md").write_text(CARD)
        (folder / model / "model.safetensors").write_bytes(os.urandom(3000))
    (folder / "lineage.json").write_text("[]")
    (folder / "parity.json").write_text(json.dumps({"policy": PROOF}))


def write_sums(folder: Path) -> None:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "SHA256SUMS")
    lines = [
        f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(folder).as_posix()}\n"
        for p in files
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


Spoil = Callable[[Path], None]
Publish = Callable[..., Artifact]


@pytest.fixture
def publish(home: Path, tmp_path: Path, record: Record) -> Publish:
    """A release that this home recorded, with or without a fault."""
    open_store.cache_clear()

    def write(spoil: Spoil = lambda _: None, late: Spoil = lambda _: None) -> Artifact:
        folder = tmp_path / "release"
        write_release(folder)
        spoil(folder)
        write_sums(folder)
        late(folder)
        made = open_store().publish(Release, Draft(folder, {}))
        record(f"run-{made.digest[7:12]}", "release", {}, {"release": made}, config={})
        return made

    return write


def push(*arguments: str) -> str:
    told = CliRunner().invoke(app, ["push", *arguments], env={"COLUMNS": "200"})
    assert told.exit_code == 0, told.stderr
    return told.stdout


def refused(*arguments: str) -> str:
    told = CliRunner().invoke(app, ["push", *arguments])
    assert told.exit_code == 2, told.exception
    assert "Traceback" not in told.stderr
    return told.stderr


SENT = {"README.md", "config.json", "lineage.json", "model.safetensors", "parity.json"}


def test_nothing_is_sent_until_it_is_said_so(publish: Publish, tmp_path: Path) -> None:
    made = publish()
    to = tmp_path / "out" / "mine"
    shown = push(made.digest, "--to", str(to))
    assert "nothing was sent" in shown
    assert "license: mit" in shown
    assert all(name in shown for name in SENT)
    assert not to.exists()
    sent = push(made.digest, "--to", str(to), "--yes")
    assert f"sentto{to}" in "".join(sent.split())  # however a terminal breaks the line
    assert {path.name for path in to.iterdir()} == {*SENT, "MADE.md", "SHA256SUMS"}
    told = (to / "MADE.md").read_text()
    assert f"recorded release `{made.digest}`" in told
    assert re.search(r"\| release \| 1 \| .+ cores, .+ \| 20..-.+Z \| \d.*s \| `[0-9a-f]{40}", told)
    assert f"| polars | {version('polars')} | every stage |" in told
    for line in (to / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((to / name).read_bytes()).hexdigest() == digest
    assert "holds files already" in refused(made.digest, "--to", str(to), "--yes")


def _write(name: str, text: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).write_text(text)

    return spoil


KEY = "hf_" + "aB3dE5" * 6
PEM = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_write("policy/evil.py", ""), "evil.py is no file of a model"),
        (_write("policy/README.md", f"{CARD}\ntoken {KEY}"), "line 7 holds what looks like a key"),
        (_write("lineage.json", '"https://me:pw@host/v1"'), "an address with credentials"),
        (_write("policy/README.md", f"{CARD}{PEM}"), "holds a private key"),
        (_write("policy/config.json", '"planted-value-1"'), "a secret of this machine's"),
        (_write("parity.json", "{}"), "does not prove policy"),
        (
            _write("parity.json", json.dumps({"policy": {**PROOF, "max_logit_difference": 0.1}})),
            "it says 0.1",
        ),
        (_write("parity.json", '{"policy": {"max_logit_difference": NaN, "readers": []}}'), "nan"),
        (
            _write(
                "parity.json",
                json.dumps(
                    {
                        "policy": {
                            **PROOF,
                            "readers": [
                                {"reader": "t4", "checked": True, "max_logit_difference": 2.1}
                            ],
                        }
                    }
                ),
            ),
            "t4 differs by 2.1 on policy",
        ),
    ],
)
def test_secrets_and_failed_proofs_are_refused(
    publish: Publish, monkeypatch: pytest.MonkeyPatch, spoil: Spoil, said: str
) -> None:
    monkeypatch.setenv("MY_API_TOKEN", "planted-value-1")
    message = refused(publish(spoil).digest, "--to", "me/mine", "--yes")
    assert said in message.replace("\n", " ")
    assert KEY not in message
    assert "planted" not in message


@pytest.mark.parametrize(
    "late",
    [_write("policy/config.json", "{} "), _write("more.json", "{}")],
    ids=["changed", "more"],
)
def test_other_bytes_than_were_released_are_refused(publish: Publish, late: Spoil) -> None:
    assert "SHA256SUMS says" in refused(publish(late=late).digest, "--to", "me/mine")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--to: name ORG/NAME"),
        (("--to", "mine"), "write ORG/NAME for the Hub"),
        (("--to", "a/b/c"), "write ORG/NAME for the Hub"),
        (("--to", "me/mine", "--model", "x"), "no 'x'; it has policy, policy-bf16"),
    ],
)
def test_a_target_that_is_none_is_told(
    publish: Publish, arguments: tuple[str, ...], said: str
) -> None:
    assert said in refused(publish().digest, *arguments).replace("\n", " ")


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as an upload of small files asks for."""

    protocol_version = "HTTP/1.1"
    files: ClassVar[dict[str, bytes]] = {}
    created: ClassVar[list[dict[str, object]]] = []

    def _answer(self, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/api/repos/create":
            self.created.append(json.loads(body))
            self._answer({"url": f"{self.server.server_name}/me/mine"})  # type: ignore[attr-defined]
        elif "/preupload/" in self.path:
            asked = json.loads(body)["files"]
            kind = {"uploadMode": "regular", "shouldIgnore": False}
            self._answer({"files": [{"path": f["path"], **kind} for f in asked]})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._answer({"commitUrl": "https://huggingface.co/me/mine/commit/1", "commitOid": "1"})
        else:  # whether the card's metadata are valid
            self._answer({"errors": [], "warnings": []})

    def do_GET(self) -> None:
        self._answer({"id": "me/mine", "siblings": [], "sha": "0"})

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Hub.files, Hub.created = {}, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_hub_that_refuses_is_told_plainly(
    publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "me/mine was not sent" in refused(publish().digest, "--to", "me/mine", "--yes")


def test_the_hub_gets_the_same_files(
    publish: Publish, hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub)
    monkeypatch.setenv("HF_TOKEN", "hf_of-a-test-only")
    made = publish()
    assert "sent to https://huggingface.co/me/mine/commit/1" in push(
        made.digest, "--to", "me/mine", "--yes"
    )
    assert Hub.files.keys() == {*SENT, "MADE.md", "SHA256SUMS"}
    folder = open_store().open(made) / "policy"
    assert Hub.files["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    (created,) = Hub.created
    assert (created["name"], created["visibility"]) == ("mine", "private")
