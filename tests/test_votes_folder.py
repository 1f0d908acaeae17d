"""The folder between quality control and its people: nothing half-written, nothing twice, nothing of another run."""

import hashlib
import json
from pathlib import Path

import pytest

from imagenetd.errors import StoreError
from imagenetd.qc.tasks import (
    ImageFacts,
    Judgement,
    Response,
    Slot,
    SlotRole,
    Task,
    TaskSettings,
    TrainingExample,
)
from imagenetd.qc.votes_folder import (
    image_bytes,
    read_responses,
    read_tasks,
    response_name,
    write_response,
    write_tasks,
)

TASK = Task("t1", (Slot(0, "a", "mug", SlotRole.ITEM), Slot(1, "b", "sock", SlotRole.NEGATIVE)))
SETTINGS = TaskSettings(
    display={"mug": "mug", "sock": "sock"},
    training=(TrainingExample("c", "mug", True, True, "It is a mug."),),
    workers_per_image=3,
)


def response(worker: str, *, num_answers: int = 2, says: bool = True) -> Response:
    return Response("t1", worker, tuple(Judgement(n, says, False, 1.5) for n in range(num_answers)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shard = tmp_path / "pool" / "s.tar"
    shard.parent.mkdir()
    shard.write_bytes(b"..PNG..")
    facts = ImageFacts("../pool/s.tar", 2, 3, hashlib.sha256(b"PNG").hexdigest())
    write_tasks(tmp_path / "votes", [TASK], {"a": facts, "b": facts, "c": facts}, SETTINGS)
    return tmp_path / "votes"


def test_tasks_come_back_as_they_were_written(folder: Path) -> None:
    tasks = read_tasks(folder)
    assert (tasks.tasks, tasks.settings) == ((TASK,), SETTINGS)
    assert image_bytes(folder, tasks.images["a"]) == b"PNG"


def test_a_response_comes_back_and_the_earliest_is_first(folder: Path) -> None:
    assert write_response(folder, TASK, response("late"), received_s=2.0)
    assert write_response(folder, TASK, response("early"), received_s=1.0)
    found = read_responses(folder, read_tasks(folder))
    assert [one.response for one in found] == [response("early"), response("late")]


def test_a_copy_of_a_response_under_another_name_is_no_second_vote(folder: Path) -> None:
    write_response(folder, TASK, response("w"))
    (sent,) = (folder / "responses").iterdir()
    (folder / "responses" / "t1--w (copy).json").write_bytes(sent.read_bytes())
    with pytest.raises(StoreError, match="copy.*its name is that of another response"):
        read_responses(folder, read_tasks(folder))


def test_a_second_response_of_a_worker_changes_nothing(folder: Path) -> None:
    assert write_response(folder, TASK, response("w", says=True))
    assert not write_response(folder, TASK, response("w", says=False))
    (found,) = read_responses(folder, read_tasks(folder))
    assert found.response == response("w", says=True)


def test_an_incomplete_response_is_refused_and_nothing_is_stored(folder: Path) -> None:
    with pytest.raises(StoreError, match="1 answers that are not those to the 2 images"):
        write_response(folder, TASK, response("w", num_answers=1))
    assert list((folder / "responses").iterdir()) == []


def test_a_name_of_a_worker_cannot_leave_the_folder(folder: Path) -> None:
    write_response(folder, TASK, response("../../etc/x"))
    (path,) = (folder / "responses").iterdir()
    assert path.name == response_name("t1", "../../etc/x") == "t1--..%2F..%2Fetc%2Fx.json"


def test_a_torn_response_of_a_killed_writer_is_not_read(folder: Path) -> None:
    (folder / "responses" / "0123.part").write_text('{"format": 1, "ans')
    assert read_responses(folder, read_tasks(folder)) == []


def test_damage_is_told_with_the_file_and_the_remedy(folder: Path) -> None:
    path = folder / "responses" / "t1--w.json"
    for text in ("{", "[]", json.dumps({"format": 1, "task_id": "t9", "worker": "w", "answers": []})):
        path.write_text(text)
        with pytest.raises(StoreError, match=r"t1--w\.json .* Delete it: its task is given out again"):
            read_responses(folder, read_tasks(folder))
    (folder / "tasks.json").write_text('{"format": 1}')
    with pytest.raises(StoreError, match=r"tasks\.json is damaged"):
        read_tasks(folder)
