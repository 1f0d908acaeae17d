"""The page's server against everything a stranger or a careless worker may send."""

import contextlib
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from imagenetd.qc.annotate.app import COOKIE, CSRF_HEADER, Access, make_app
from imagenetd.qc.annotate.room import Room
from imagenetd.qc.annotate.serve import invitation
from imagenetd.qc.annotate.tokens import Badge, Signer
from imagenetd.qc.votes_folder import read_responses
from tests.votes_folder import make_votes_folder, picture

MAX_BYTES = 2_000
ACCESS = Access(hosts=frozenset({"testserver"}), max_body_bytes=MAX_BYTES)
TRUTH_WORDS = ("positive", "negative", "consistency", "role", "item", "task0", "task1", "missing")


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    return make_votes_folder(tmp_path, display={"mug": "<script>alert(1)</script>"})


@pytest.fixture
def room(votes: Path) -> Iterator[Room]:
    with contextlib.closing(Room(votes, timeout_s=600)) as room:
        yield room


class Browser:
    """A worker's browser: a cookie jar and the token that the page holds."""

    def __init__(self, room: Room, worker: str | None) -> None:
        self.client = TestClient(make_app(room, ACCESS), base_url="http://testserver")
        self.csrf = ""
        if worker is not None:
            link = invitation(room, worker, "http://testserver", days=1)
            assert self.client.get(link).status_code == 200  # after the redirect
            self.csrf = self.client.get("/api/session").json()["csrf"]

    def post(self, path: str, body: Any, **headers: str) -> Any:
        given = {CSRF_HEADER: self.csrf, "content-type": "application/json"} | headers
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path, content=content, headers=given)

    def answer_all(self, task: dict[str, Any]) -> None:
        for position in range(len(task["slots"])):
            body = {"task": task["task"], "position": position, "can_recognise": True, "can_use": True}
            assert self.post("/api/answer", body).status_code == 200


@pytest.fixture
def anna(room: Room) -> Browser:
    return Browser(room, "anna")


def nothing_is_stored(room: Room) -> bool:
    with room.database.reading() as connection:
        (num_answers,) = connection.execute("SELECT count(*) FROM answer").fetchone()
    return num_answers == 0 and read_responses(room.folder, room.task_set) == []


def test_a_worker_sends_a_task_and_the_response_is_delivered(room: Room, anna: Browser) -> None:
    task = anna.post("/api/task", {}).json()
    anna.answer_all(task)
    assert anna.post("/api/submit", {"task": task["task"]}).json() == {"num_sent": 1}
    (received,) = read_responses(room.folder, room.task_set)
    assert (received.response.worker, received.response.task_id) == ("anna", "task0")
    assert len(received.response.answers) == 5


def test_a_replayed_submission_is_refused_and_counted_once(room: Room, anna: Browser) -> None:
    task = anna.post("/api/task", {}).json()
    anna.answer_all(task)
    first, second = (anna.post("/api/submit", {"task": task["task"]}) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 409)
    assert second.json()["code"] == "already_submitted"
    assert len(read_responses(room.folder, room.task_set)) == 1


def test_a_submission_with_an_open_question_is_refused(room: Room, anna: Browser) -> None:
    task = anna.post("/api/task", {}).json()
    refused = anna.post("/api/submit", {"task": task["task"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "question_open")
    assert nothing_is_stored(room)


def test_another_workers_task_is_unknown(room: Room, anna: Browser) -> None:
    task = anna.post("/api/task", {}).json()
    ben = Browser(room, "ben")
    body = {"task": task["task"], "position": 0, "can_recognise": True, "can_use": True}
    assert ben.post("/api/answer", body).status_code == 404
    assert ben.post("/api/submit", {"task": task["task"]}).status_code == 404
    assert nothing_is_stored(room)


@pytest.mark.parametrize("name", ["task0", "", "../task0", "%00", "\ud800"])
def test_a_task_is_known_by_its_opaque_name_alone(room: Room, anna: Browser, name: str) -> None:
    anna.post("/api/task", {})
    assert anna.post("/api/submit", {"task": name}).status_code == 404
    assert nothing_is_stored(room)


def tokens(room: Room) -> dict[str, str]:
    later, earlier = int(time.time()) + 1000, int(time.time()) - 1
    said = room.signer.token("invitation", Badge("anna", later, ""))
    other = Signer(b"another key, thirty-two bytes lon")
    return {
        "expired": room.signer.token("invitation", Badge("anna", earlier, "")),
        "other key": other.token("invitation", Badge("anna", later, "")),
        "other purpose": room.signer.token("session", Badge("anna", later, "s")),
        "body swapped": room.signer.token("invitation", Badge("ben", later, "")).split(".")[0]
        + "."
        + said.split(".")[1],
        "cut": said[:-2],
        "no signature": said.split(".")[0],
        "empty": ".x",
        "long": "a" * 5_000,
    }


CASES = ["expired", "other key", "other purpose", "body swapped", "cut", "no signature", "empty", "long"]


@pytest.mark.parametrize("case", CASES)
def test_a_forged_or_expired_invitation_lets_nobody_in(room: Room, case: str) -> None:
    stranger = Browser(room, None)
    answer = stranger.client.get(f"/i/{tokens(room)[case]}", follow_redirects=False)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert room.workers.blocked() == {}


@pytest.mark.parametrize("case", ["expired", "other key", "other purpose", "cut"])
def test_a_forged_or_expired_session_is_refused_everywhere(room: Room, case: str) -> None:
    token = tokens(room)[case]
    if case == "other purpose":
        token = room.signer.token("invitation", Badge("anna", int(time.time()) + 1000, ""))
    stranger = Browser(room, None)
    stranger.client.cookies.set(COOKIE, token)
    assert stranger.client.get("/api/session").status_code == 401
    assert stranger.client.get("/api/image/x").status_code == 401
    for path in ("/api/task", "/api/answer", "/api/submit", "/api/examples"):
        assert stranger.post(path, {}).status_code == 401
    assert room.workers.blocked() == {} and nothing_is_stored(room)


def test_without_a_session_nothing_but_the_empty_page_is_served(room: Room) -> None:
    stranger = Browser(room, None)
    assert stranger.client.get("/").status_code == 200
    assert stranger.client.get("/api/session").json()["code"] == "no_session"


def test_a_blocked_worker_is_shut_out_at_once(room: Room, anna: Browser) -> None:
    room.workers.block("anna")
    assert anna.post("/api/task", {}).status_code == 403
    assert anna.client.get("/api/session").status_code == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({CSRF_HEADER: ""}, 403),
        ({CSRF_HEADER: "x" * 22}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"host": "evil.example"}, 400),
        ({"host": "testserver@evil.example"}, 400),
        ({"host": ""}, 400),
        ({"host": "testserver.evil.example"}, 400),
        ({"host": "[::1]:8570"}, 400),
    ],
)
def test_a_request_from_another_site_changes_nothing(
    room: Room, anna: Browser, headers: dict[str, str], status: int
) -> None:
    assert anna.post("/api/task", {}, **headers).status_code == status
    assert room.desk.given("anna") == []


def test_a_proxy_may_call_the_server_by_another_host_than_workers_do(room: Room) -> None:
    access = Access(hosts=frozenset({"testserver"}), address="https://pictures.example.org")
    client = TestClient(make_app(room, access), base_url="https://testserver")
    client.get(invitation(room, "anna", "https://testserver", days=1))
    csrf = client.get("/api/session").json()["csrf"]
    for origin, status in (("https://pictures.example.org", 200), ("https://pictures.example.net", 403)):
        headers = {CSRF_HEADER: csrf, "origin": origin, "content-type": "application/json"}
        assert client.post("/api/task", json={}, headers=headers).status_code == status


def test_another_sessions_csrf_token_is_refused(room: Room, anna: Browser) -> None:
    anna.csrf = Browser(room, "anna").csrf
    assert anna.post("/api/task", {}).status_code == 403


@pytest.mark.parametrize("announced", [True, False])
def test_an_oversized_body_is_refused(room: Room, anna: Browser, announced: bool) -> None:
    task = anna.post("/api/task", {}).json()["task"]
    body = {"task": task, "position": 0, "can_recognise": True, "can_use": True, "x": "x" * MAX_BYTES}
    content = json.dumps(body).encode()
    headers = {CSRF_HEADER: anna.csrf, "content-type": "application/json"}
    given: Any = content if announced else iter([content[:1_000], content[1_000:]])
    assert anna.client.post("/api/answer", content=given, headers=headers).status_code == 413
    assert nothing_is_stored(room)


@pytest.mark.parametrize(
    "change",
    [
        {"position": "0"},
        {"position": True},
        {"position": None},
        {"position": 99},
        {"position": -1},
        {"can_recognise": None},
        {"can_use": "yes"},
        {"can_use": 1},
        {"seconds": "soon"},
        {"seconds": [1]},
        {"task": 3},
        {"task": None},
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(room: Room, anna: Browser, change: dict[str, Any]) -> None:
    task = anna.post("/api/task", {}).json()["task"]
    body = {"task": task, "position": 0, "can_recognise": True, "can_use": True, "seconds": 1.0}
    assert anna.post("/api/answer", body | change).status_code in (409, 422)
    assert nothing_is_stored(room)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 1_500, b'{"seconds": 1e999}']
)
def test_a_body_that_is_no_mapping_is_refused(room: Room, anna: Browser, body: bytes) -> None:
    assert anna.post("/api/answer", body).status_code == 422
    assert nothing_is_stored(room)


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def test_pictures_are_served_under_names_of_this_session_alone(room: Room, anna: Browser) -> None:
    task = anna.post("/api/task", {}).json()
    addresses = [slot["image"] for slot in task["slots"]]
    sent = anna.client.get(addresses[0])
    assert sent.headers["content-type"] == "image/png"
    difference = pixels(sent.content) - pixels(picture("t0-item0"))
    assert 0 < np.abs(difference).sum() < difference.size / 100  # what nobody sees
    assert len(set(addresses)) == 5  # also the repeated picture has a name of its own
    assert Browser(room, "anna").client.get(addresses[0]).status_code == 404
    assert Browser(room, "ben").client.get(addresses[0]).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/api/image/t0-item0",
        "/api/image/..%2f..%2fdesk%2fsecret.key",
        "/api/image/%2e%2e%2f%2e%2e%2ftasks.json",
        "/api/image/../../tasks.json",
        "/api/image//etc/passwd",
        "/..%2ftasks.json",
        "/tasks.json",
        "/desk/secret.key",
        "/page.js/../../../tasks.json",
        "/api/image/%00",
    ],
)
def test_no_path_leads_to_a_file(room: Room, anna: Browser, path: str) -> None:
    anna.post("/api/task", {})
    answer = anna.client.get(path)
    assert answer.status_code == 404
    assert "sock" not in answer.text and "root:" not in answer.text


def test_no_answer_of_the_server_tells_a_sentinel(room: Room, anna: Browser) -> None:
    """Neither before nor after a task is sent, and not by what is still missing."""
    told = [anna.client.get("/api/session").text]
    task = anna.post("/api/task", {})
    told.append(task.text)
    anna.answer_all(task.json())  # yes to all: the negative sentinel is failed
    told.append(anna.post("/api/submit", {"task": task.json()["task"]}).text)
    told += [anna.client.get("/api/session").text, anna.post("/api/task", {}).text]
    told += [anna.client.get(path).text for path in ("/", "/page.js", "/page.css")][3:]
    assert [word for word in TRUTH_WORDS for text in told if word in text] == []
    assert room.votes.progress().num_missing == 4  # it does not count, but nobody was told


def test_a_response_that_fails_a_sentinel_is_replaced_by_another_worker(room: Room) -> None:
    given = []
    for worker in ("yes-sayer", "anna", "ben"):
        browser = Browser(room, worker)
        task = browser.post("/api/task", {}).json()
        given.append(room.desk.given(worker))
        browser.answer_all(task)
        browser.post("/api/submit", {"task": task["task"]})
    assert given == [["task0"]] * 3


def test_a_script_in_a_category_name_is_sent_as_text(room: Room, anna: Browser) -> None:
    answer = anna.post("/api/task", {})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["slots"][0]["category"] == "<script>alert(1)</script>"
    assert "<script>alert" not in anna.client.get("/").text


@pytest.mark.parametrize("path", ["/", "/page.js", "/api/session", "/nowhere", "/i/forged"])
def test_every_answer_has_the_strict_headers(anna: Browser, path: str) -> None:
    headers = anna.client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "same-origin")
    assert headers["x-frame-options"] == "DENY"


def test_the_session_cookie_is_out_of_reach_of_scripts_and_of_http_behind_https(room: Room) -> None:
    secure = Access(hosts=frozenset({"testserver"}), address="https://testserver")
    client = TestClient(make_app(room, secure), base_url="https://testserver")
    answer = client.get(invitation(room, "anna", "https://testserver", days=1), follow_redirects=False)
    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "secure", "samesite=lax"))
    assert "strict-transport-security" in answer.headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(anna: Browser, method: str) -> None:
    assert anna.client.request(method, "/api/task").status_code == 405


def test_an_unchanged_script_is_not_sent_again(anna: Browser) -> None:
    tag = anna.client.get("/page.js").headers["etag"]
    assert anna.client.get("/page.js", headers={"if-none-match": tag}).status_code == 304


def test_what_was_sent_but_not_delivered_before_a_kill_is_delivered_at_the_next_start(votes: Path) -> None:
    with contextlib.closing(Room(votes, timeout_s=600)) as room:
        anna = Browser(room, "anna")
        task = anna.post("/api/task", {}).json()
        anna.answer_all(task)
        (votes / "responses").rename(votes / "aside")
        (votes / "responses").write_text("")  # no file can be written there, and then the process ends
        assert anna.post("/api/submit", {"task": task["task"]}).status_code == 503
        (votes / "responses").unlink()
        (votes / "aside").rename(votes / "responses")
    assert list((votes / "responses").iterdir()) == []
    for _ in range(2):
        with contextlib.closing(Room(votes, timeout_s=600)) as room:
            assert len(read_responses(votes, room.task_set)) == 1


def test_a_lost_database_is_made_anew_from_what_was_delivered(votes: Path) -> None:
    with contextlib.closing(Room(votes, timeout_s=600)) as room:
        anna = Browser(room, "anna")
        task = anna.post("/api/task", {}).json()
        anna.answer_all(task)
        anna.post("/api/submit", {"task": task["task"]})
    for path in (votes / "desk").glob("desk.sqlite3*"):
        path.unlink()
    with contextlib.closing(Room(votes, timeout_s=600)) as room:
        assert [one.response.worker for one in read_responses(room.folder, room.task_set)] == ["anna"]
        assert room.desk.take("anna") == "task1"


def test_tasks_of_a_new_round_are_taken_over_while_the_server_runs(
    room: Room, anna: Browser, tmp_path: Path
) -> None:
    anna.post("/api/task", {})
    more = make_votes_folder(tmp_path / "more", num_tasks=3)
    (room.folder / "tasks.json").write_bytes((more / "tasks.json").read_bytes())
    ben = Browser(room, "ben")
    ben.post("/api/task", {})
    assert room.votes.progress().num_missing == 6


def test_the_key_is_readable_by_its_owner_alone(room: Room) -> None:
    assert (room.folder / "desk" / "secret.key").stat().st_mode & 0o077 == 0
