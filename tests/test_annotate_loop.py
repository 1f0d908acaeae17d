"""A run waits for people, people vote on the page, the run goes on."""

import contextlib
import json
from pathlib import Path

from imagenetd.config.page import MturkConfig, PageConfig
from imagenetd.qc.annotate.room import Room
from imagenetd.qc.page_options import read_options
from tests.test_pipeline import config, run, summary
from tests.votes_folder import careful_response


def test_a_run_waits_for_the_page_and_goes_on_when_the_votes_are_there(tmp_path: Path) -> None:
    options = ["qc=local", "qc.tasks.workers_per_image=2", "qc.page.port=0"]
    options += ["qc.tasks.max_confusion=1.0", "num_images_per_cell=3"]
    made = config(tmp_path, *options, num_surrogates=1)
    waiting = run(made)
    assert waiting.status == "waiting for votes"
    (votes,) = (tmp_path / "votes").iterdir()
    assert f"python -m imagenetd.qc.annotate {votes}" in waiting.results[-1].details[0]
    assert read_options(votes, "page", PageConfig).port == 0
    assert read_options(votes, "mturk", MturkConfig).reward_usd == 0.8

    with contextlib.closing(Room(votes, timeout_s=600)) as room:
        for worker in ("anna", "ben"):
            while (task := room.next_task(worker)) is not None:
                for answer in careful_response(task, worker).answers:
                    room.desk.save(task.task_id, worker, answer)
                room.desk.submit(task.task_id, worker)
        assert room.votes.progress().num_missing == 0

    done = run(made)
    assert done.status == "done"
    found = summary(done)
    assert found["num_images"]["accepted"] == found["num_images"]["mined"] > 0
    assert (found["qc"]["acceptance"], found["qc"]["responses_dropped"]) == (1.0, 0)
    workers = {json.loads(path.read_text())["worker"] for path in (votes / "responses").iterdir()}
    assert workers == {"anna", "ben"}
