"""How fast votes are counted, on a crowd of the paper's size: 1,540 tasks of 20 images, 10 workers each, 679 workers.

    python -m benchmarks.qc

Counting checks sentinels, drops responses, takes the majority, describes every worker, and gives agreement and alpha
with their intervals. The plain peer checks, drops and counts with loops over answers, and gives the acceptance alone.
Both work on the same responses in one process. GLAD is crowd-kit's; its import is counted apart. The last line is one
JSON object.
"""

import collections
import json
import platform
import resource
import time
from collections.abc import Callable, Sequence

import numpy as np

from imagenetd.config.qc import AggregationConfig, AggregationMethod, SentinelRule, StoppingConfig
from imagenetd.qc.completion import Rules
from imagenetd.qc.counting import count_votes
from imagenetd.qc.sentinels import REASONS
from imagenetd.qc.tasks import Answer, Response, Slot, SlotRole, Task

NUM_TASKS, NUM_WORKERS, WORKERS_PER_TASK, NUM_ITEMS = 1_540, 679, 10, 16
NUM_REPEATS = 3
LIMIT_S = 10.0
RULES = Rules(WORKERS_PER_TASK, SentinelRule.both, StoppingConfig(False, 3, 0.99, False, 0.8))


def crowd() -> tuple[list[Task], list[Response]]:
    """Return tasks of 20 images (16 of them to be judged) and responses that are right with probability 0.97."""
    rng = np.random.default_rng(0)
    tasks, truth = [], []
    for number in range(NUM_TASKS):
        roles = (
            [SlotRole.ITEM] * NUM_ITEMS + [SlotRole.CONSISTENCY] * 2 + [SlotRole.POSITIVE, SlotRole.NEGATIVE]
        )
        names = [f"{number}-{n}" for n in (*range(NUM_ITEMS), 0, 1, 16, 17)]
        valid = rng.random(NUM_ITEMS) < 0.85
        truth.append(np.concatenate([valid, valid[:2], [True, False]]))
        slots = (Slot(n, name, "mug", role) for n, (name, role) in enumerate(zip(names, roles, strict=True)))
        tasks.append(Task(f"t{number}", tuple(slots)))
    responses = []
    for number, task in enumerate(tasks):
        for turn in range(WORKERS_PER_TASK):
            says = (truth[number] ^ (rng.random(len(task.slots)) >= 0.97)).tolist()
            worker = f"w{(number * WORKERS_PER_TASK + turn) % NUM_WORKERS}"
            answers = tuple(Answer(n, yes, yes, 1.0) for n, yes in enumerate(says))
            responses.append(Response(task.task_id, worker, answers))
    return tasks, responses


def counted(
    tasks: Sequence[Task], responses: Sequence[Response], method: AggregationMethod
) -> dict[str, float]:
    """Count as the stage does."""
    config = AggregationConfig(method, 0.5, 0.95)
    return count_votes(tasks, responses, RULES, config).statistics.plain()


def counted_plainly(tasks: Sequence[Task], responses: Sequence[Response]) -> float:
    """Return the acceptance by loops; the peer."""
    slots = {task.task_id: task.slots for task in tasks}
    votes: dict[str, list[bool]] = collections.defaultdict(list)
    for response in responses:
        pairs = list(zip(slots[response.task_id], response.answers, strict=True))
        item = {slot.image_id: answer for slot, answer in pairs if slot.role is SlotRole.ITEM}
        if all(_passes(slot, answer, item) for slot, answer in pairs if slot.role in REASONS):
            for name, answer in item.items():
                votes[name].append(answer.can_recognise or answer.can_use)
    shares = [sum(of_image) / len(of_image) for of_image in votes.values()]
    return sum(shares) / len(shares)


def _passes(slot: Slot, answer: Answer, item: dict[str, Answer]) -> bool:
    if slot.role is SlotRole.POSITIVE:
        return answer.can_recognise and answer.can_use
    if slot.role is SlotRole.NEGATIVE:
        return not (answer.can_recognise or answer.can_use)
    other = item[slot.image_id]
    return (other.can_recognise, other.can_use) == (answer.can_recognise, answer.can_use)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Measure, print, and end with one JSON object."""
    tasks, responses = crowd()
    ours, plain = [], []
    for _ in range(NUM_REPEATS):  # interleaved: other load on the machine meets both
        ours.append(timed(lambda: counted(tasks, responses, AggregationMethod.majority)))
        plain.append(timed(lambda: counted_plainly(tasks, responses)))
    found = counted(tasks, responses, AggregationMethod.majority)
    assert abs(found["acceptance"] - counted_plainly(tasks, responses)) < 1e-6
    import_s = timed(lambda: __import__("crowdkit.aggregation"))
    estimates = {
        method.value: timed(lambda method=method: counted(tasks, responses, method))  # type: ignore[misc]
        for method in (AggregationMethod.dawid_skene, AggregationMethod.glad)
    }
    seconds = min(ours)
    result = {
        "benchmark": "qc",
        "tasks": NUM_TASKS,
        "responses": len(responses),
        "answers": len(responses) * 20,
        "workers": NUM_WORKERS,
        "count_s": round(seconds, 2),
        "limit_s": LIMIT_S,
        "is_within_limit": seconds < LIMIT_S,
        "plain_loops_s": round(min(plain), 2),
        "plain_over_ours": round(min(plain) / seconds, 1),
        "crowdkit_import_s": round(import_s, 2),
        "with_dawid_skene_s": round(estimates["dawid_skene"], 2),
        "with_glad_s": round(estimates["glad"], 2),
        "acceptance": found["acceptance"],
        "alpha": found["alpha"],
        "responses_dropped": found["responses_dropped"],
        "max_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "python": platform.python_version(),
    }
    print(f"{result['answers']:,} answers counted in {result['count_s']} s (limit {LIMIT_S:.0f} s)")
    print(
        f"plain loops with as many resamples: {result['plain_loops_s']} s, {result['plain_over_ours']} x as long"
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
