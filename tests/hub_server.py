"""A hub on this machine: the few answers of the Hugging Face hub that fetching a model needs."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin", ".h5", ".msgpack", ".onnx", ".npz")


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass
class HubRepository:
    """The files of one commit; `main` points at it."""

    files: Mapping[str, bytes]
    is_gated: bool = False

    @property
    def commit(self) -> str:
        listing = json.dumps({name: git_sha1(data) for name, data in sorted(self.files.items())})
        return hashlib.sha1(listing.encode(), usedforsecurity=False).hexdigest()

    def entry(self, name: str) -> dict[str, Any]:
        content = self.files[name]
        entry: dict[str, Any] = {"size": len(content), "oid": git_sha1(content)}
        if name.endswith(LARGE):
            digest = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"sha256": digest, "oid": digest, "size": len(content)}
            entry["lfs"] |= {"pointerSize": 134}
        return entry


@dataclass
class LocalHub:
    """Repositories by name, what was asked, and what breaks."""

    url: str = ""
    repositories: dict[str, HubRepository] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    downloads: list[str] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)
    """Files that arrive with one byte changed."""
    refused: set[str] = field(default_factory=set)
    """Files that a proxy on the way does not let through."""


class Handler(BaseHTTPRequestHandler):
    hub: LocalHub

    def log_message(self, *_: Any) -> None:
        self.hub.requests.append(f"{self.command} {self.path}")

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._api("/".join(parts[2:4]), *parts[4:])
        elif len(parts) > 4 and parts[2] == "resolve":
            self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        else:
            self._send(404, b"")

    def _api(self, name: str, kind: str, *revision: str) -> None:
        if not (found := self._find(name, "/".join(revision))):
            return
        if kind == "tree":
            rows = [{"type": "file", "path": file, **found.entry(file)} for file in found.files]
            self._send(200, json.dumps(rows).encode())
            return
        siblings: list[dict[str, Any]] = []
        for file in found.files:
            entry = found.entry(file)
            siblings.append({"rfilename": file, "blobId": entry.pop("oid"), **entry})
        answer = {"id": name, "sha": found.commit, "siblings": siblings}
        self._send(200, json.dumps(answer).encode())

    def _file(self, name: str, revision: str, file: str) -> None:
        if not (found := self._find(name, revision)):
            return
        if found.is_gated:
            self._send(403, b"", {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
        elif file in self.hub.refused:
            self._send(403, b"")
        else:
            entry, content = found.entry(file), found.files[file]
            lfs = entry.get("lfs")
            headers = {"ETag": f'"{entry["oid"]}"', "X-Repo-Commit": found.commit}
            if lfs:
                headers |= {
                    "X-Linked-Etag": f'"{lfs["sha256"]}"',
                    "X-Linked-Size": str(lfs["size"]),
                }
            if file in self.hub.damaged:
                content = content[:-1] + bytes([content[-1] ^ 1])
            if self.command == "GET":
                self.hub.downloads.append(file)
            self._send(200, content, headers)

    def _find(self, name: str, revision: str) -> HubRepository | None:
        found = self.hub.repositories.get(name)
        if found is None:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", "refs/pr/1", found.commit):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return None
        return found

    def _send(self, status: int, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@contextmanager
def serve() -> Iterator[LocalHub]:
    """Run a hub on a free port of the loopback."""
    hub = LocalHub()
    handler = type("BoundHandler", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
