"""A mixture goes up whole, under the right names, to a Hub on the loopback; or not at all, with a reason."""

from __future__ import annotations

import base64
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from coalm.errors import DataError, MissingExtra
from coalm.push import push

CARD = """---
pretty_name: A mixture
license: [cc0-1.0]
configs:
- config_name: default
  data_files:
  - {split: train, path: train.parquet}
  - {split: validation, path: validation.parquet}
---

# A mixture
"""
REPO = "someone/some-mixture"


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    folder = tmp_path / "mixture"
    (folder / ".building").mkdir(parents=True)
    for name in ("train.parquet", "validation.parquet", "card.json", "run.json", "lengths.svg", "notes.txt"):
        (folder / name).write_text(f"this is {name}", encoding="utf-8")
    (folder / "card.md").write_text(CARD, encoding="utf-8")
    return folder


@dataclass
class Hub:
    """A server that takes a data set as the Hub does, for small files."""

    url: str = ""
    status: int = 200
    private: bool = True
    created: list[dict[str, Any]] = field(default_factory=list)
    commits: list[dict[str, bytes]] = field(default_factory=list)

    @property
    def api(self) -> HfApi:
        return HfApi(endpoint=self.url, token="made-up")

    def answer(self, path: str, body: bytes) -> Any:
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            return {"url": f"{self.url}/datasets/{REPO}"}
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}
        if path == f"/api/datasets/{REPO}/preupload/main":
            names = [file["path"] for file in json.loads(body)["files"]]
            return {"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]}
        if path == f"/api/datasets/{REPO}/commit/main":
            lines = [json.loads(line) for line in body.splitlines()]
            files = [line["value"] for line in lines if line["key"] == "file"]
            self.commits.append({file["path"]: base64.b64decode(file["content"]) for file in files})
            return {"commitUrl": f"{self.url}/datasets/{REPO}/commit/abc", "commitOid": "abc"}
        assert path == f"/api/datasets/{REPO}", path
        return {"id": REPO, "private": self.private}


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            content = json.dumps(hub.answer(self.path.partition("?")[0], body)).encode()
            self.send_response(hub.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def test_a_dry_run_tells_what_would_go_up(mixture: Path) -> None:
    plan = push(mixture, REPO, dry_run=True)
    names = ["train.parquet", "README.md", "validation.parquet", "card.json", "run.json", "lengths.svg"]
    sizes = {file["path"]: file["bytes"] for file in plan.pop("files")}
    assert plan == {"repo": REPO, "private": False, "dry_run": True}
    assert list(sizes) == names
    assert sizes["README.md"] == len(CARD.encode())
    (mixture / "dialogues.parquet").write_bytes(b"1")
    assert {"path": "dialogues.parquet", "bytes": 1} in push(mixture, REPO, dry_run=True)["files"]


def test_a_mixture_goes_up_in_one_commit(mixture: Path) -> None:
    with serve(Hub()) as hub:
        done = push(mixture, REPO, private=True, api=hub.api)
    (created,), (commit,) = hub.created, hub.commits
    assert (created["organization"], created["name"], created["type"]) == ("someone", "some-mixture", "dataset")
    assert created["visibility"] == "private"
    assert set(commit) == {file["path"] for file in done["files"]}
    assert commit["README.md"].decode() == CARD
    assert commit["train.parquet"] == b"this is train.parquet"
    assert done["url"] == f"{hub.url}/datasets/{REPO}"
    assert not done["dry_run"]


def test_what_is_to_be_private_does_not_go_to_a_public_data_set(mixture: Path) -> None:
    with serve(Hub(private=False)) as hub, pytest.raises(DataError, match="it is public"):
        push(mixture, REPO, private=True, api=hub.api)
    assert not hub.commits


def test_a_refusal_says_what_to_do(mixture: Path) -> None:
    with serve(Hub(status=401)) as hub, pytest.raises(DataError, match="hf auth login") as caught:
        push(mixture, REPO, api=hub.api)
    assert caught.value.where == REPO


def test_no_network_says_what_to_do(mixture: Path) -> None:
    with pytest.raises(DataError, match="is there a network"):
        push(mixture, REPO, api=HfApi(endpoint="http://127.0.0.1:9", token="made-up"))


@pytest.mark.parametrize("repo", ["mixture", "a/b/c", "a b/c", "a/b--c", "", "/b"])
def test_a_name_needs_an_owner(mixture: Path, repo: str) -> None:
    with pytest.raises(DataError, match="owner/name"):
        push(mixture, repo, dry_run=True)


@pytest.mark.parametrize("name", ["train.parquet", "card.md"])
def test_a_folder_that_is_no_mixture(mixture: Path, name: str) -> None:
    (mixture / name).unlink()
    with pytest.raises(DataError, match=f"not a mixture: no {name}") as caught:
        push(mixture, REPO, dry_run=True)
    assert caught.value.where == str(mixture)


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (lambda card: card.replace("[cc0-1.0]", "[cc0-1.0"), "the front matter cannot be read"),
        (lambda card: "---\n- a list\n---\n", "the front matter cannot be read"),
        (lambda card: "# A mixture\n", "no front matter"),
        (lambda card: card.replace("validation.parquet", "test.parquet"), "names test.parquet, which is not"),
    ],
)
def test_a_card_that_the_hub_could_not_read(mixture: Path, edit: Callable[[str], str], what: str) -> None:
    (mixture / "card.md").write_text(edit(CARD), encoding="utf-8")
    with pytest.raises(DataError, match=what) as caught:
        push(mixture, REPO, dry_run=True)
    assert caught.value.where == str(mixture / "card.md")


def test_without_the_library_the_extra_is_named(mixture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"`huggingface_hub` is not installed(?s:.*)coalm\[hub\]"):
        push(mixture, REPO, dry_run=True)
