"""An S3 server in a thread that answers as a test wants, for what a good server never does. It checks no signatures."""

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from urllib.parse import parse_qs

import pytest

CLOSE = -1
"""Instead of a status: close the connection without an answer."""


@dataclass
class OddServer:
    """Objects, and what to answer next instead of the right answers: (status, S3's code)."""

    port: int = 0
    knows_if_none_match: bool = True
    objects: dict[str, bytes] = field(default_factory=dict)
    answers: list[tuple[int, str]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Point the store's library here."""
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{self.port}")
        for name, value in {"REGION": "us-east-1", "ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)


def _handler(server: OddServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.requests.append(f"{self.command} {self.path}")
            status, code = server.answers.pop(0) if server.answers else (0, "")
            if status == CLOSE:
                self.close_connection = True
                return
            if status:
                self._send(status, f"<Error><Code>{code}</Code></Error>".encode())
            elif self.command == "PUT":
                taken = self.path in server.objects and self.headers.get("If-None-Match") == "*"
                if taken and server.knows_if_none_match:
                    self._send(412, b"<Error><Code>PreconditionFailed</Code></Error>")
                    return
                server.objects[self.path] = body
                self._send(200, b"")
            elif self.command == "POST":  # the library deletes so, one object or many
                bucket = self.path.partition("?")[0]
                keys = re.findall(r"<Key>(.*?)</Key>", body.decode())
                for key in keys:
                    server.objects.pop(f"{bucket}/{key}", None)
                deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
                self._send(200, f"<DeleteResult>{deleted}</DeleteResult>".encode())
            elif "list-type=2" in self.path:
                self._send(200, self._listing())
            elif self.path in server.objects:
                self._send_object(server.objects[self.path])
            else:
                self._send(404, b"<Error><Code>NoSuchKey</Code></Error>")

        do_GET = do_PUT = do_HEAD = do_POST = _answer  # noqa: N815 - names of http.server

        def _listing(self) -> bytes:
            bucket, _, query = self.path.partition("?")
            prefix = f"{bucket}/{parse_qs(query).get('prefix', [''])[0]}"
            found = "".join(
                f"<Contents><Key>{path.removeprefix(bucket + '/')}</Key><Size>{len(data)}</Size>"
                "<LastModified>2026-11-24T10:00:00.000Z</LastModified></Contents>"
                for path, data in sorted(server.objects.items())
                if path.startswith(prefix)
            )
            return f"<ListBucketResult><IsTruncated>false</IsTruncated>{found}</ListBucketResult>".encode()

        def _send_object(self, data: bytes) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            if wanted is None:
                self._send(200, data)
                return
            start, end = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
            if start >= len(data):
                self._send(416, b"<Error><Code>InvalidRange</Code></Error>")
            else:
                self._send(206, data[start : end + 1], {"Content-Range": f"bytes {start}-{end}/{len(data)}"})

        def _send(self, status: int, body: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("ETag", '"e"')
            self.send_header("Last-Modified", "Tue, 24 Nov 2026 10:00:00 GMT")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    return Handler


@contextlib.contextmanager
def odd_server() -> Iterator[OddServer]:
    """A server on a free port."""
    server = OddServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    server.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
