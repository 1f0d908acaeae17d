"""What the annotation server carries: pictures and answers a second, as ratios to plain static files in the same run.

    python -m benchmarks.annotate --requests 400 --rounds 5

Both servers are uvicorn with one process; the same threads ask both, in turn. Prints one JSON object in the last line.
`people` is how many workers could work at once, each looking at a picture for five seconds.
"""

import argparse
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # the votes folder is the tests' own; this file is also run as a script

from imagenetd.qc.annotate.tokens import Badge, Signer, read_or_make_key  # noqa: E402
from tests.votes_folder import make_votes_folder, picture  # noqa: E402

NUM_CLIENTS, NUM_ITEMS, SIZE_PX = 8, 17, 512
SECONDS_A_PICTURE = 5.0
STATIC = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from imagenetd.qc.annotate.serve import listen
from tests.votes_folder import page_options
with listen(page_options()) as listener:
    print("static: http://127.0.0.1:%d/" % listener.getsockname()[1], flush=True)
    app = Starlette(routes=[Mount("/", StaticFiles(directory=sys.argv[1]))])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off"))
    server.run(sockets=[listener])
"""


@dataclass
class Client:
    """One browser: a connection that stays, and what it knows of the server."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)
    pictures: list[str] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def connect_anew(self) -> None:
        """Open a new connection: servers close those that were idle while the other one was asked (uvicorn: 5 s)."""
        self.connection.close()
        self.connection.connect()

    def call(self, method: str, path: str, body: Any = None) -> tuple[http.client.HTTPResponse, bytes]:
        """Send one request and return its answer; anything but a success ends the benchmark."""
        started = time.perf_counter()
        self.connection.request(method, path, None if body is None else json.dumps(body), self.headers)
        response = self.connection.getresponse()
        content = response.read()
        self.latencies_s.append(time.perf_counter() - started)
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {content[:200]!r}")
        return response, content

    def enter(self, link: str) -> None:
        """Open an invitation and take a task."""
        response, _ = self.call("GET", link)
        self.headers = {"cookie": response.headers["set-cookie"].split(";")[0]}
        self.headers["x-csrf-token"] = json.loads(self.call("GET", "/api/session")[1])["csrf"]
        self.headers["content-type"] = "application/json"
        self.task = json.loads(self.call("POST", "/api/task", {})[1])
        self.pictures = [slot["image"] for slot in self.task["slots"]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=400, help="of each kind and round (default: 400)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved; medians are printed (default: 5)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), given.requests, given.rounds)))


def measure(folder: Path, num_requests: int, num_rounds: int) -> dict[str, Any]:
    """Return rates, ratios, latencies and memory."""
    votes = make_votes_folder(
        folder, num_tasks=4, num_items=NUM_ITEMS, num_workers=NUM_CLIENTS, size_px=SIZE_PX, grain=True
    )
    (folder / "static").mkdir()
    (folder / "static" / "picture.png").write_bytes(picture("static", SIZE_PX, grain=True))
    signer = Signer(read_or_make_key(votes / "desk" / "secret.key"))
    own = [sys.executable, "-m", "imagenetd.qc.annotate", "serve", str(votes), "--worker", "bench"]
    plain = [sys.executable, "-c", STATIC, str(folder / "static")]
    with running(plain) as (static_port, _), running(own) as (port, process):
        statics = [Client(static_port) for _ in range(NUM_CLIENTS)]
        workers = [Client(port) for _ in range(NUM_CLIENTS)]
        for number, worker in enumerate(workers):
            badge = Badge(f"w{number}", int(time.time()) + 3_600, "")
            worker.enter(f"/i/{signer.token('invitation', badge)}")
        kinds: dict[str, tuple[list[Client], Callable[[Client, int], Any]]] = {
            "static": (statics, lambda client, n: client.call("GET", "/picture.png")),
            "pictures": (workers, lambda client, n: client.call("GET", client.pictures[n % NUM_ITEMS])),
            "answers": (workers, _answer),
        }
        rates: dict[str, list[float]] = {kind: [] for kind in kinds}
        for round_number in range(num_rounds + 1):
            for kind, (clients, act) in kinds.items():
                rate = requests_per_s(clients, act, num_requests)
                if round_number:  # the first is for warming up
                    rates[kind].append(rate)
        peak_mb = peak_memory_mb(process.pid)
    return summary(rates, workers, peak_mb)


def _answer(client: Client, number: int) -> None:
    position = number % len(client.pictures) if number < len(client.pictures) else 0
    body = {"task": client.task["task"], "position": position, "can_recognise": True, "can_use": False}
    client.call("POST", "/api/answer", body)


def requests_per_s(clients: list[Client], act: Callable[[Client, int], Any], num_requests: int) -> float:
    """Return the rate at which all clients together are answered."""
    each = -(-num_requests // len(clients))
    for client in clients:
        client.latencies_s.clear()
        client.connect_anew()

    def work(client: Client) -> None:
        for number in range(each):
            act(client, number)

    started = time.perf_counter()
    with ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(work, clients))
    return each * len(clients) / (time.perf_counter() - started)


def summary(rates: dict[str, list[float]], workers: list[Client], peak_mb: float) -> dict[str, Any]:
    """Return what is printed; ratios are taken within each round."""
    median = {kind: statistics.median(found) for kind, found in rates.items()}
    latencies = sorted(second for worker in workers for second in worker.latencies_s)
    per_picture = 1 / median["pictures"] + 1 / median["answers"]
    return {
        "clients": NUM_CLIENTS,
        "static_per_s": round(median["static"]),
        "pictures_per_s": round(median["pictures"]),
        "answers_per_s": round(median["answers"]),
        "pictures_to_static": _ratio(rates["pictures"], rates["static"]),
        "answers_to_static": _ratio(rates["answers"], rates["static"]),
        "answer_p95_ms": round(1_000 * latencies[int(0.95 * len(latencies))], 1),
        "people": int(SECONDS_A_PICTURE / per_picture),
        "peak_memory_mb": round(peak_mb),
        "cpus": os.cpu_count(),
    }


def _ratio(rates: list[float], baseline: list[float]) -> float:
    return round(statistics.median(ours / base for ours, base in zip(rates, baseline, strict=True)), 3)


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Start a server and give its port, read from the address that it prints."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if ": http://" in line)
        try:
            yield int(line.split("/")[2].rsplit(":", 1)[1]), process
        finally:
            process.terminate()


def peak_memory_mb(process: int) -> float:
    """Return the largest resident size of a process so far."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


if __name__ == "__main__":
    main()
