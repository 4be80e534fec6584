"""A loopback stand-in for W&B's HTTP API; without it no test could run online, or lose its server."""

import gzip
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OPERATION = re.compile(r"\b(?:mutation|query)\s+(\w+)")


class FakeWandb:
    """Answers what an online run asks for and records it; any other operation gets an error.

    It shows what our client sends. It does not show that W&B would accept it.
    """

    def __init__(self) -> None:
        self.silent = False
        self.unknown: list[str] = []
        self.runs: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []
        self.stream: list[dict[str, Any]] = []
        self._operations = {
            "Viewer": self._viewer,
            "UpsertBucket": self._upsert,
            "NotifyScriptableRunAlert": self._alert,
        }
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "FakeWandb":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    def die(self) -> None:
        """Go away, so that connections are refused from now on."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def fall_silent(self) -> None:
        """Take connections from now on and never answer."""
        self.silent = True

    def history(self) -> Iterator[dict[str, Any]]:
        """Rows that were uploaded."""
        for request in self.stream:
            for line in request.get("files", {}).get("wandb-history.jsonl", {}).get("content", []):
                yield json.loads(line)

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        match = OPERATION.search(query)
        name = match.group(1) if match else "?"
        operation = self._operations.get(name)
        if operation is None:
            self.unknown.append(name)
            return {"errors": [{"message": f"the stand-in has no operation {name}"}]}
        return {"data": operation(variables)}

    def _viewer(self, _: dict[str, Any]) -> dict[str, Any]:
        user = {"id": "VXNlcjox", "entity": "us", "username": "us", "name": "us", "email": "us@example.org"}
        return {"viewer": {**user, "flags": "{}", "teams": {"edges": []}, "admin": False}}

    def _upsert(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.runs.append(variables)
        project = {"id": "P1", "name": variables.get("project"), "entity": {"id": "E1", "name": "us"}}
        name = variables.get("name")
        bucket = {
            "id": "UnVuOjE=",
            "name": name,
            "displayName": name,
            "description": None,
            "project": project,
        }
        more = {"config": variables.get("config") or "{}", "sweepName": None, "historyLineCount": 0}
        return {"upsertBucket": {"bucket": {**bucket, **more}, "inserted": True}}

    def _alert(self, variables: dict[str, Any]) -> dict[str, Any]:
        self.alerts.append(variables)
        return {"notifyScriptableRunAlert": {"success": True}}


def _handler(fake: FakeWandb) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            data = json.loads(body) if body else {}
            if self.path == "/graphql":
                self._send(fake.answer(data["query"], data.get("variables") or {}))
            else:
                fake.stream.append(data)
                self._send({"limits": {}})

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._send({})

        def do_GET(self) -> None:
            self._send({})

        def do_HEAD(self) -> None:
            self._send({}, body=False)

        def _send(self, data: dict[str, Any], *, body: bool = True) -> None:
            if fake.silent:
                time.sleep(60)
            content = json.dumps(data).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                with suppress(OSError):  # the client has given up waiting
                    self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its parent's name
            """Stay silent."""

    return Handler
