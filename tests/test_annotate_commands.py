"""The commands around the page: links, lists, and mistakes told in one line."""

import contextlib
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagenetd.config.page import PageConfig
from imagenetd.errors import ConfigError, StoreError
from imagenetd.qc.annotate.commands import main, parse
from imagenetd.qc.annotate.room import Room
from imagenetd.qc.annotate.serve import address_of, serve
from imagenetd.qc.page_options import read_options, require_usable, write_options
from tests.votes_folder import careful_response, make_votes_folder, page_options


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    return make_votes_folder(tmp_path, options=page_options(port=8570))


@pytest.fixture
def room(votes: Path) -> Iterator[Room]:
    with contextlib.closing(Room(votes, timeout_s=600)) as room:
        yield room


def refused(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    error = capsys.readouterr().err
    assert left.value.code == 1 and error.startswith("error: ") and error.count("\n") == 1
    return error


def test_an_invitation_is_good_for_its_worker(
    votes: Path, room: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["invite", str(votes), "anna", "ben", "--public-url", "https://pictures.example.org/"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["anna", "ben"]
    address, token = lines[0].split(": ")[1].split("/i/")
    badge = room.signer.badge("invitation", token, now=0.0)
    assert (address, badge and badge.worker) == ("https://pictures.example.org", "anna")


@pytest.mark.parametrize("name", ["", "a--b", "../x", "a b", "-a", "a" * 65, "é"])
def test_a_name_that_cannot_stand_in_a_file_name_is_refused(
    votes: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "cannot be a worker's name" in refused("invite", str(votes), "--", name, capsys=capsys)


def test_status_counts_responses_and_workers(
    votes: Path, room: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    room.workers.enter("anna")
    room.desk.take_in(careful_response(room.task_set.tasks[0], "anna"))
    main(["block", str(votes), "ben"])
    capsys.readouterr()
    main(["status", str(votes)])
    expected = (
        "2 tasks, 1 responses, 3 missing\n  anna: 1 sent, 0 in hand\n  ben: 0 sent, 0 in hand, blocked\n"
    )
    assert capsys.readouterr().out == expected
    main(["unblock", str(votes), "ben"])
    room.workers.enter("ben")


def test_a_folder_that_is_no_votes_folder_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is no votes folder" in refused(str(tmp_path), capsys=capsys)


def test_a_port_that_is_taken_is_one_line(votes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert "cannot be used" in refused("serve", str(votes), "--port", port, capsys=capsys)


def test_a_link_to_a_port_that_is_not_known_yet_is_refused(
    votes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--port NUMBER" in refused("invite", str(votes), "anna", "--port", "0", capsys=capsys)


def test_listening_everywhere_needs_the_name_that_workers_use(votes: Path) -> None:
    with pytest.raises(ConfigError, match="links need a name"):
        serve(votes, page_options(host="0.0.0.0"), workers=())


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({"port": 8570}, "http://127.0.0.1:8570"),
        ({"host": "::1", "port": 80}, "http://[::1]:80"),
        ({"certificate": "x.pem", "port": 443}, "https://127.0.0.1:443"),
        ({"public_url": "https://a.example/"}, "https://a.example"),
    ],
)
def test_the_address_is_what_a_worker_types(changes: dict[str, object], address: str) -> None:
    assert address_of(page_options(**changes)) == address


@pytest.mark.parametrize(
    "changes",
    [
        {"timeout_minutes": 0.0},
        {"link_days": -1.0},
        {"port": 70_000},
        {"public_url": "pictures.example.org"},
        {"certificate": "/nowhere.pem"},
    ],
)
def test_options_with_which_no_page_can_be_served_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="qc.page."):
        require_usable(page_options(**changes))


def test_options_come_back_with_the_command_lines_changes(tmp_path: Path) -> None:
    write_options(tmp_path, {"page": page_options(port=1)})
    assert read_options(tmp_path, "page", PageConfig, port=None).port == 1
    assert read_options(tmp_path, "page", PageConfig, port=0).port == 0
    (tmp_path / "options.json").write_text('{"page": {"unknown": 1}}')
    with pytest.raises(StoreError, match="written anew"):
        read_options(tmp_path, "page", PageConfig)


def test_a_missing_library_is_named_with_the_extra_that_brings_it() -> None:
    code = "import runpy, sys; sys.modules['starlette'] = None; sys.argv = ['x', 'y']; "
    code += "runpy.run_module('imagenetd.qc.annotate', run_name='__main__')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.returncode == 1
    assert "is not installed" in found.stderr and "imagenetd[qc]" in found.stderr
    assert "Traceback" not in found.stderr


def test_every_command_of_the_documentation_is_one(root: Path) -> None:
    shown = re.findall(
        r"python -m imagenetd\.qc\.annotate ([^\n#`;]+)", (root / "docs/annotate.md").read_text()
    )
    names = {parse(shlex.split(command.replace(" ...", ""))).act.__name__ for command in shown}
    ways = {"_serve", "_invite", "_status", "_block", "_form", "_label_studio", "_import"}
    assert names == ways | {"_estimate", "_export", "_publish", "_review"}
