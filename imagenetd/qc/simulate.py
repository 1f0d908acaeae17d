"""Workers of known quality who answer the real tasks by a known truth: for tests and studies. Pure and seeded."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from imagenetd.config.qc import WorkersConfig
from imagenetd.errors import ConfigError
from imagenetd.qc.odds import COIN, Habits
from imagenetd.qc.tasks import Judgement, Response, Task

SECONDS_PER_ANSWER = 2.0


@dataclass(frozen=True, slots=True)
class Worker:
    """A simulated worker; the name tells the kind, so that what was caught can be compared with what was planted."""

    name: str
    habits: Habits | None
    """None: says yes to everything."""

    @property
    def kind(self) -> str:
        """`careful`, `careless`, `always_yes` or `coin`."""
        return self.name.rsplit("-", 1)[0]


def hire(config: WorkersConfig) -> list[Worker]:
    """Return the workers in random order, their kinds in the configured shares (largest remainders)."""
    habits = {
        "careful": Habits(config.careful_accuracy),
        "careless": Habits(config.careless_accuracy),
        "always_yes": None,
        "coin": COIN,
    }
    share = np.array([getattr(config, kind) for kind in habits], dtype=np.float64)
    if config.num_workers < 1 or (share < 0).any() or share.sum() == 0:
        raise ConfigError(
            f"qc.workers has {config.num_workers} workers with the shares {share.tolist()}: there must be at least "
            "one worker, no share below 0, and one above."
        )
    exact = config.num_workers * share / share.sum()
    counts = np.floor(exact).astype(int)
    largest = np.argsort(-(exact - counts), kind="stable")[: config.num_workers - counts.sum()]
    counts[largest] += 1
    workers = [
        Worker(f"{kind}-{number:03d}", of_kind)
        for (kind, of_kind), count in zip(habits.items(), counts.tolist(), strict=True)
        for number in range(count)
    ]
    order = np.random.default_rng(config.seed).permutation(len(workers))
    return [workers[i] for i in order.tolist()]


def answer_task(worker: Worker, task: Task, shown: Mapping[str, str], *, seed: int) -> Response:
    """Return a worker's response; its randomness depends on worker, task and seed alone.

    Args:
        worker: Who answers.
        task: What is asked.
        shown: Image id -> the category that the image really shows.
        seed: Of all simulated workers.
    """
    truth = np.array([shown[slot.image_id] == slot.category for slot in task.slots])
    recognise, use = _say(worker, truth, _rng(worker.name, task.task_id, seed))
    answers = (
        Judgement(slot.position, bool(q1), bool(q2), SECONDS_PER_ANSWER)
        for slot, q1, q2 in zip(task.slots, recognise, use, strict=True)
    )
    return Response(task.task_id, worker.name, tuple(answers))


def _say(worker: Worker, truth: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    if worker.habits is None:
        return np.ones_like(truth), np.ones_like(truth)
    slips = rng.random((2, len(truth))) >= worker.habits.accuracy
    together = rng.random(len(truth)) < worker.habits.together
    return truth ^ slips[0], truth ^ np.where(together, slips[0], slips[1])


def _rng(worker: str, task_id: str, seed: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\x1f{worker}\x1f{task_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def require_enough(handed: Sequence[object], missing: Mapping[str, int], num_workers: int) -> None:
    """Raise ConfigError when there are tasks that every worker has had already."""
    if not handed and missing:
        raise ConfigError(
            f"{len(missing)} tasks still wait for votes, but each of the {num_workers} simulated workers has answered "
            "them. Raise qc.workers.num_workers, or lower qc.tasks.workers_per_image."
        )
