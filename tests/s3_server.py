"""An S3 server on loopback (moto's), and a proxy before it that breaks what it is told to break."""

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SECRET = "hush-this-is-the-secret-of-the-test"
KEY = "AKIAOFTHETEST"
BUCKET = "bucket"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
CODES = {"403": "AccessDenied", "409": "ConditionalRequestConflict", "501": "NotImplemented"}
Fault = str
"""A status such as `503`; `slow`; `cut` before the store hears it; `lost` after it was done; `half` of it; or empty."""


@contextlib.contextmanager
def serving() -> Iterator[int]:
    """Give the port of an empty store with one bucket; skip the test where the packages are not there."""
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install imagenetd[dev-s3]")
    moto = pytest.importorskip("moto.server", reason="moto is not installed: pip install imagenetd[dev-s3]")
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    port: int = server.get_host_and_port()[1]
    try:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as asked:
            asked.request("PUT", f"/{BUCKET}", headers={"Host": f"127.0.0.1:{port}"})
            assert asked.getresponse().status == 200
        yield port
    finally:
        server.stop()


class Proxy:
    """Hands requests on to a store, with faults.

    Args:
        port: Of the store.
    """

    def __init__(self, port: int) -> None:
        self.store_port = port
        self.fault: Callable[[str, str], Fault] = lambda method, path: ""
        self.asked: list[tuple[str, str]] = []
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def _answer(self) -> None:
        body = self._body()
        fault = self.proxy.fault(self.command, self.path)
        self.proxy.asked.append((self.command, self.path))
        if fault.isdigit():
            self.close_connection = True
            self.send_response(int(fault))
            text = f"<Error><Code>{CODES[fault]}</Code></Error>".encode() if fault in CODES else b""
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            return
        if fault == "slow":
            time.sleep(2)
        if fault == "cut":
            self._hang_up()
            return
        store = http.client.HTTPConnection("127.0.0.1", self.proxy.store_port, timeout=60)
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in ("transfer-encoding",)
        }
        store.request(self.command, self.path, body=body, headers=headers)
        answer = store.getresponse()
        data = answer.read()
        store.close()
        if fault == "lost":
            self._hang_up()
            return
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if fault == "half":
            self.wfile.write(data[: len(data) // 2])
            self._hang_up()
        elif self.command != "HEAD":
            self.wfile.write(data)

    def _body(self) -> bytes:
        if self.headers.get("Expect", "").lower() == "100-continue":
            pass  # the base class has answered
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer


def places_of(secret: str, folder: Path) -> list[str]:
    """Return the files below a folder that hold a text."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in paths if secret.encode() in path.read_bytes()]
