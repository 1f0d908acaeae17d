"""Ask people: tasks are written once, answers are read back; simulated workers answer at once."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from imagenetd.config.qc import WorkersConfig
from imagenetd.errors import StoreError
from imagenetd.images.pool import Pool
from imagenetd.qc.completion import Rules, missing_responses, next_workers, plain_rules
from imagenetd.qc.sampling import sampling_of
from imagenetd.qc.simulate import answer_task, hire, require_enough
from imagenetd.qc.task_design import Design
from imagenetd.qc.tasks import (
    ImageFacts,
    Response,
    Sampled,
    Slot,
    SlotRole,
    Task,
    TaskSet,
    TaskSettings,
    TrainingExample,
)
from imagenetd.qc.votes_folder import (
    TASKS_FILE,
    close_to_others,
    read_tasks,
    write_response,
    write_tasks,
)
from imagenetd.stages.qc_keys import rules_of
from imagenetd.stages.run import Run
from imagenetd.store.folders import make_folder, write_bytes_atomic

REASONS = {
    SlotRole.POSITIVE: "The image shows the object: {name}.",
    SlotRole.NEGATIVE: "The image shows another object, not: {name}.",
}


def publish_tasks(
    folder: Path, run: Run, design: Design, display: Mapping[str, str], *, arm: tuple[str, ...]
) -> None:
    """Write `tasks.json`: what is asked, and where the images lie.

    Args:
        folder: The votes folder.
        run: With the images, and the rules of its config.
        design: The tasks.
        display: Category key -> its name in words.
        arm: Sampling arm of each image of the pool.
    """
    rules, training = (
        rules_of(run.setup.config.qc),
        tuple(_example(slot, display) for slot in design.training),
    )
    settings = TaskSettings(
        dict(display), training, rules.workers_per_image, run.setup.config.name, plain_rules(rules)
    )
    shown = {slot.image_id for task in design.tasks for slot in task.slots}
    shown |= {example.image_id for example in training}
    facts = _image_facts(folder, run.pool, shown)
    sampled = _sampled(design.tasks, run.pool.table["image_id"].tolist(), arm)
    write_tasks(folder, design.tasks, facts, settings, sampled)


def open_tasks(folder: Path, image_ids: Sequence[str], rules: Rules, *, arm: tuple[str, ...]) -> TaskSet:
    """Return what is asked; `tasks.json` is written anew when the rules have changed.

    Args:
        folder: The votes folder.
        image_ids: Of the pool.
        rules: When a task is complete.
        arm: Sampling arm of each image of the pool.

    Raises:
        StoreError: When `tasks.json` gives other arms or probabilities than those that follow from its items.
    """
    close_to_others(folder)
    tasks = read_tasks(folder)
    if dict(tasks.sampling) != _sampled(tasks.tasks, image_ids, arm):
        raise StoreError(
            f"{folder / TASKS_FILE} gives sampling arms or inclusion probabilities that do not follow from its items: "
            "it was damaged or edited. Restore it, or delete it and run again: the same tasks are made, and votes stay."
        )
    if tasks.settings.rules == plain_rules(rules):
        return tasks
    old = tasks.settings
    settings = TaskSettings(old.display, old.training, rules.workers_per_image, old.title, plain_rules(rules))
    write_tasks(folder, tasks.tasks, tasks.images, settings, tasks.sampling)
    return read_tasks(folder)


def asked_images(tasks: Sequence[Task], image_ids: Sequence[str]) -> np.ndarray:
    """Return bool "images": items of a task."""
    items = {slot.image_id for task in tasks for slot in task.items}
    return np.array([name in items for name in image_ids], dtype=bool)


def _sampled(tasks: Sequence[Task], image_ids: Sequence[str], arm: tuple[str, ...]) -> dict[str, Sampled]:
    sampling = sampling_of(arm, asked_images(tasks, image_ids))
    known = dict(zip(image_ids, zip(arm, sampling.probability.tolist(), strict=True), strict=True))
    items = {slot.image_id for task in tasks for slot in task.items}
    shown = dict.fromkeys(slot.image_id for task in tasks for slot in task.slots)
    return {name: Sampled(*known[name]) if name in items else Sampled("sentinel", None) for name in shown}


def _example(slot: Slot, display: Mapping[str, str]) -> TrainingExample:
    shows = slot.role is SlotRole.POSITIVE
    reason = REASONS[slot.role].format(name=display[slot.category])
    return TrainingExample(slot.image_id, slot.category, shows, shows, reason)


def _image_facts(folder: Path, pool: Pool, shown: set[str]) -> dict[str, ImageFacts]:
    """Say where the images lie; those that lie in no archive of ours are copied."""
    make_folder(folder)
    facts = {}
    for index in np.flatnonzero(pool.table["image_id"].isin(shown)).tolist():
        image_id, sha256 = (str(pool.table[name].iloc[index]) for name in ("image_id", "sha256"))
        place = pool.place(index)
        if place is None:
            data = pool.read_bytes(index)
            place = folder / "images" / image_id, 0, len(data)
            write_bytes_atomic(place[0], data)
        facts[image_id] = ImageFacts(os.path.relpath(place[0], folder), *place[1:], sha256)
    return facts


def simulate_responses(
    folder: Path, tasks: TaskSet, rules: Rules, workers: WorkersConfig, shown: Mapping[str, str]
) -> None:
    """Let simulated workers answer until every task is complete.

    Who is asked follows from the answers before, so the whole course is played from its beginning every time: a run
    that was killed in the middle ends with the same responses as a straight one.

    Args:
        folder: The votes folder.
        tasks: What is asked.
        rules: When a task is complete.
        workers: Who answers.
        shown: Image id -> the category that it really shows.
    """
    crew = {worker.name: worker for worker in hire(workers)}
    by_id = {task.task_id: task for task in tasks.tasks}
    responses: list[Response] = []
    while missing := missing_responses(tasks.tasks, responses, rules):
        answered: dict[str, list[str]] = {}
        for response in responses:
            answered.setdefault(response.task_id, []).append(response.worker)
        handed = next_workers(list(by_id), missing, answered, list(crew))
        require_enough(handed, missing, len(crew))
        for task_id, name in handed:
            response = answer_task(crew[name], by_id[task_id], shown, seed=workers.seed)
            write_response(folder, by_id[task_id], response, received_s=float(len(responses)))
            responses.append(response)
