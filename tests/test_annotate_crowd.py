"""Fifty workers at once against the real server, which is killed in the middle: every vote is there, once."""

import hashlib
import http.client
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from imagenetd.qc.annotate.tokens import Badge, Signer, read_or_make_key
from imagenetd.qc.votes_folder import read_responses
from tests.votes_folder import make_votes_folder, page_options, tasks_of

NUM_PEOPLE, NUM_TASKS, NUM_VOTES, NUM_ITEMS = 50, 20, 10, 3
NUM_SLOTS = NUM_ITEMS + 3
DEADLINE_S = 100.0
ROOT = Path(__file__).parent.parent


class Server:
    """The command that a user types, in a process of its own, on a port that stays."""

    def __init__(self, votes: Path) -> None:
        self.votes, self.port = votes, 0
        self.is_up = threading.Event()
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "imagenetd.qc.annotate", "serve", str(self.votes), "--worker", "x"]
        command += ["--port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        link = next(line for line in self.process.stdout if line.startswith("x: "))
        self.port = int(link.split("/")[2].rsplit(":", 1)[1])
        self.reader = threading.Thread(target=self.process.stdout.read)
        self.reader.start()
        self.is_up.set()

    def kill(self) -> None:
        self.is_up.clear()
        assert self.process is not None and self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()


class Person:
    """A careful worker at a browser that repeats a request until it is answered."""

    def __init__(self, name: str, server: Server, signer: Signer, on_sent: Any) -> None:
        self.name, self.server, self.on_sent = name, server, on_sent
        self.connection: http.client.HTTPConnection | None = None
        self.headers = {"content-type": "application/json"}
        self.link = f"/i/{signer.token('invitation', Badge(name, int(time.time()) + 1000, ''))}"
        self.said: list[tuple[bool, ...]] = []

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            self.server.is_up.wait(DEADLINE_S)
            try:
                self.connection = self.connection or http.client.HTTPConnection(
                    "127.0.0.1", self.server.port, timeout=30
                )
                content = None if body is None else json.dumps(body)
                self.connection.request(method, path, content, self.headers)
                response = self.connection.getresponse()
                text = response.read()
                if cookie := response.headers["set-cookie"]:
                    self.headers["cookie"] = cookie.split(";")[0]
                return response.status, json.loads(text) if text.startswith(b"{") else {}
            except (OSError, http.client.HTTPException):  # the server was killed
                self.hang_up()
        raise AssertionError(f"{self.name} waited too long")

    def work(self) -> list[tuple[bool, ...]]:
        assert self.call("GET", self.link)[0] == 303
        self.headers["x-csrf-token"] = self.call("GET", "/api/session")[1]["csrf"]
        while (task := self.call("POST", "/api/task", {})[1])["task"] is not None:
            says = [self.says(task["task"], position) for position in range(NUM_SLOTS)]
            for position, say in enumerate(says):
                body = {"task": task["task"], "position": position, "can_recognise": say, "can_use": say}
                assert self.call("POST", "/api/answer", body)[0] == 200
            status, content = self.call("POST", "/api/submit", {"task": task["task"]})
            assert status == 200 or content["code"] == "already_submitted"
            self.said.append(tuple(says))
            self.on_sent()
        self.hang_up()
        return self.said

    def hang_up(self) -> None:
        assert self.connection is not None
        self.connection.close()
        self.connection = None

    def says(self, task: str, position: int) -> bool:
        """Return something of this worker's own on items, and what passes on sentinels."""
        if position == NUM_SLOTS - 1:
            return self.says(task, 0)
        if position >= NUM_ITEMS:
            return position == NUM_ITEMS
        return hashlib.sha256(f"{self.name}{task}{position}".encode()).digest()[0] % 2 == 0


@pytest.mark.parametrize("num_kills", [2])
def test_fifty_people_lose_no_vote_and_give_none_twice_while_the_server_is_killed(
    tmp_path: Path, num_kills: int
) -> None:
    votes = make_votes_folder(
        tmp_path, num_tasks=NUM_TASKS, num_items=NUM_ITEMS, num_workers=NUM_VOTES, options=page_options()
    )
    server, signer = Server(votes), Signer(read_or_make_key(votes / "desk" / "secret.key"))
    sent = threading.Semaphore(0)
    people = [Person(f"p{number}", server, signer, sent.release) for number in range(NUM_PEOPLE)]
    server.start()
    try:
        with ThreadPoolExecutor(NUM_PEOPLE) as pool:
            working = [pool.submit(person.work) for person in people]
            for _ in range(num_kills):
                for _ in range(NUM_TASKS * NUM_VOTES // (num_kills + 2)):
                    assert sent.acquire(timeout=DEADLINE_S)
                server.kill()
                server.start()
            said = {
                person.name: work.result(DEADLINE_S) for person, work in zip(people, working, strict=True)
            }
    finally:
        server.kill()
    received = [one.response for one in read_responses(votes, tasks_of(votes))]
    assert Counter(response.task_id for response in received) == {
        f"task{n}": NUM_VOTES for n in range(NUM_TASKS)
    }
    assert len({(response.task_id, response.worker) for response in received}) == NUM_TASKS * NUM_VOTES
    kept: dict[str, list[tuple[bool, ...]]] = {person.name: [] for person in people}
    for response in received:
        kept[response.worker].append(tuple(answer.can_recognise for answer in response.answers))
    assert {name: sorted(answers) for name, answers in kept.items()} == {
        name: sorted(answers) for name, answers in said.items()
    }
