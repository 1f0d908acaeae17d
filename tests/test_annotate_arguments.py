"""Commands and files that make no sense: one line, never a traceback, and nothing is stored."""

import contextlib
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from imagenetd.errors import StoreError
from imagenetd.qc.annotate.commands import main
from imagenetd.qc.annotate.room import Room
from imagenetd.qc.votes_folder import read_responses, response_name
from tests.test_annotate_forms import data_of, result_of, written_form
from tests.votes_folder import careful_response, make_votes_folder, page_options, tasks_of


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    return make_votes_folder(tmp_path, options=page_options(port=8570))


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    error = capsys.readouterr().err
    assert left.value.code in (1, 2) and "Traceback" not in error
    return error.splitlines()[-1]


@pytest.mark.parametrize("days", ["nan", "-1", "0", "inf", "1e9", "soon", ""])
def test_an_invitation_needs_a_number_of_days(
    votes: Path, days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--days" in refused(capsys, "invite", str(votes), "anna", f"--days={days}")


@pytest.mark.parametrize("command", ["serve", "invite"])
@pytest.mark.parametrize("port", ["700000", "65536", "-1", "1.5", "9" * 5_000, "x"])
def test_a_port_is_one_of_65536(
    votes: Path, command: str, port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["anna"] if command == "invite" else []
    assert "--port" in refused(capsys, command, str(votes), *names, f"--port={port}")


@pytest.mark.parametrize("option", ["--tasks=0", "--tasks=-3", "--tasks=99999999999999999999", "--out="])
def test_a_form_needs_a_number_of_tasks_and_a_place(
    votes: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert option.split("=")[0] in refused(capsys, "form", str(votes), "anna", option)


@pytest.mark.parametrize(
    "option", ["--host=", "--host=a b", "--public-url=", "--public-url=https://", "--public-url=http://["]
)
def test_an_address_that_is_none_is_refused(
    votes: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert option.split("=")[0] in refused(capsys, "serve", str(votes), option)


@pytest.mark.parametrize("folder", ["", " ", "/dev/null", "/nowhere", "/etc/passwd/x"])
@pytest.mark.parametrize("command", ["serve", "status", "labelstudio"])
def test_a_folder_that_is_none_is_one_line(
    folder: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "error" in refused(capsys, command, folder)


@pytest.mark.parametrize(
    "change",
    [
        {"port": "8570"},
        {"port": True},
        {"link_days": None},
        {"timeout_minutes": float("nan")},
        {"link_days": float("inf")},
        {"form_days": -1.0},
        {"host": ""},
        {"host": 3},
        {"public_url": "https://"},
    ],
)
def test_options_of_another_type_or_range_are_one_line(
    votes: Path, change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((votes / "options.json").read_text())
    (votes / "options.json").write_text(json.dumps({"page": content["page"] | change}))
    assert next(iter(change)) in refused(capsys, "status", str(votes))


def test_deleted_options_are_told(votes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (votes / "options.json").write_text('{"page": {}}')
    assert "damaged or of another version" in refused(capsys, "status", str(votes))
    (votes / "options.json").unlink()
    assert "is no votes folder" in refused(capsys, "status", str(votes))


def test_a_place_that_cannot_be_written_is_one_line(votes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["form", str(votes), "anna"], ["labelstudio", str(votes)]):
        assert "/dev/null" in refused(capsys, *command, "--out", "/dev/null/x")


# ---- responses and tables of others ----


def delivered(votes: Path, change: dict[str, Any], *, mark: bytes = b"") -> Path:
    """Write a response as another program would, with something changed in its first answer."""
    task = tasks_of(votes).tasks[0]
    response = careful_response(task, "ben")
    answers = [
        {"position": a.position, "can_recognise": a.can_recognise, "can_use": a.can_use, "seconds": a.seconds}
        for a in response.answers
    ]
    answers[0] |= change
    content = {"format": 1, "received_s": 1, "task_id": task.task_id, "worker": "ben", "answers": answers}
    path = votes / "responses" / response_name(task.task_id, "ben")
    path.write_bytes(mark + json.dumps(content).replace("\n", "\r\n").encode())
    return path


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_response_with_a_byte_order_mark_and_3_0_for_3_is_read(votes: Path, mark: bytes) -> None:
    delivered(votes, {"position": 0.0, "seconds": 2}, mark=mark)
    (received,) = read_responses(votes, tasks_of(votes))
    assert type(received.response.answers[0].position) is int


@pytest.mark.parametrize(
    "change",
    [{"can_use": "no"}, {"can_recognise": 1}, {"can_use": None}, {"position": 0.5}, {"seconds": "x"}],
)
def test_a_response_in_which_a_word_stands_for_an_answer_is_refused(
    votes: Path, change: dict[str, Any]
) -> None:
    path = delivered(votes, change)
    with pytest.raises(StoreError, match="is damaged") as caught:
        read_responses(votes, tasks_of(votes))
    assert path.name in str(caught.value) and "\n" not in str(caught.value)


def turk_table(votes: Path, **cells: str) -> list[dict[str, str]]:
    """Return a batch's results: one assignment, its answers as the form gives them."""
    answers = json.dumps(result_of(written_form(votes)))
    return [
        {"HITId": "H", "WorkerId": "A1", "AssignmentStatus": "Approved", "Answer.answers": answers} | cells
    ]


def written_table(votes: Path, rows: list[dict[str, str]], *, end: str = "\n", mark: str = "") -> Path:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0].keys(), lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    path = votes / "batch.csv"
    path.write_bytes((mark + stream.getvalue()).encode())
    return path


@pytest.mark.parametrize(("end", "mark"), [("\n", ""), ("\r\n", "\ufeff")])
def test_a_results_table_of_mechanical_turk_is_taken_in_once(
    votes: Path, end: str, mark: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = turk_table(votes)
    path = written_table(
        votes, [*rows, rows[0] | {"WorkerId": "A2", "AssignmentStatus": "Rejected"}], end=end, mark=mark
    )
    for said in ("1 responses, 0 known", "0 responses, 1 known"):
        main(["import", str(votes), str(path)])
        assert said in capsys.readouterr().out
    (received,) = read_responses(votes, tasks_of(votes))
    assert received.response.worker.startswith("mturk-") and "A1" not in received.response.worker


@pytest.mark.parametrize(
    "cells", [{"WorkerId": ""}, {"Answer.answers": ""}, {"Answer.answers": "{"}, {"Answer.answers": "3"}]
)
def test_a_cell_that_cannot_be_read_is_told_by_file_line_and_column(
    votes: Path, cells: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = written_table(votes, [*turk_table(votes), *turk_table(votes, **cells)])
    capsys.readouterr()
    error = refused(capsys, "import", str(votes), str(path))
    assert "batch.csv, line 3" in error and next(iter(cells)) in error
    assert read_responses(votes, tasks_of(votes)) == []


def test_a_short_line_of_a_table_is_told(votes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written_table(votes, turk_table(votes))
    path.write_text(path.read_text() + "H,A2\n")
    assert "line 3" in refused(capsys, "import", str(votes), str(path))


def test_a_form_for_another_folder_in_a_table_is_refused(
    votes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = make_votes_folder(tmp_path / "other")
    with contextlib.closing(Room(other, timeout_s=600)):
        path = written_table(votes, turk_table(other))
    assert "was not written from" in refused(capsys, "import", str(votes), str(path))
    assert data_of(written_form(votes))["format"] == 1
