"""Which tasks still wait for workers, and who may take them. Pure."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from imagenetd.config.qc import SentinelRule, StoppingConfig
from imagenetd.errors import StoreError
from imagenetd.qc.judgements import JudgementTable, is_item, judgement_table
from imagenetd.qc.sentinels import sentinel_failures
from imagenetd.qc.stopping import fixed_images, settled_images
from imagenetd.qc.tasks import Response, Task


@dataclass(frozen=True, slots=True)
class Rules:
    """What makes a task complete."""

    workers_per_image: int
    sentinel_rule: SentinelRule
    stopping: StoppingConfig
    min_share: float = 0.5
    """More than this share of the votes accepts an image."""


def plain_rules(rules: Rules) -> dict[str, object]:
    """Return the rules as they stand in `tasks.json`."""
    return dataclasses.asdict(rules) | {"sentinel_rule": rules.sentinel_rule.value}


def read_rules(plain: Mapping[str, Any]) -> Rules:
    """Return the rules that stand in `tasks.json`, see `TaskSettings.rules`; another version's are a StoreError."""
    try:
        rule, stopping = SentinelRule(plain["sentinel_rule"]), StoppingConfig(**plain["stopping"])
        return Rules(plain["workers_per_image"], rule, stopping, plain["min_share"])
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            f"The rules in tasks.json are those of another version ({error}). Run again: it makes a new folder."
        ) from error


def missing_responses(tasks: Sequence[Task], responses: Sequence[Response], rules: Rules) -> dict[str, int]:
    """Return, for each task that is not complete, how many more qualified responses it waits for now.

    With sequential stopping a task asks for `min_votes` first and then for one at a time.
    """
    table = judgement_table(tasks, responses)
    qualified = sentinel_failures(table, rules.sentinel_rule).is_qualified
    have: dict[str, int] = defaultdict(int)
    for (task_id, _), passes in zip(table.responses, qualified.tolist(), strict=True):
        have[task_id] += passes
    most = rules.workers_per_image
    if not rules.stopping.enabled:
        missing = {task.task_id: most - have[task.task_id] for task in tasks}
    else:
        unsettled = _unsettled_tasks(tasks, table, qualified, rules)
        least = min(rules.stopping.min_votes, most)
        missing = {}
        for task in tasks:
            votes = have[task.task_id]
            more = task.task_id in unsettled and votes < most
            missing[task.task_id] = least - votes if votes < least else int(more)
    return {task_id: count for task_id, count in missing.items() if count > 0}


def _unsettled_tasks(
    tasks: Sequence[Task], table: JudgementTable, qualified: np.ndarray, rules: Rules
) -> set[str]:
    """Return the tasks in which an image's votes may still decide otherwise."""
    rows = is_item(table) & qualified[table.response]
    num_images = len(table.image_ids)
    yes = np.bincount(table.image[rows & table.accepts], minlength=num_images)
    votes = np.bincount(table.image[rows], minlength=num_images)
    settled = settled_images(yes, votes, rules.stopping, share=rules.min_share)
    if rules.stopping.when_fixed:
        settled |= fixed_images(yes, votes, most=rules.workers_per_image, share=rules.min_share)
    open_images = {table.image_ids[i] for i in np.flatnonzero(~settled).tolist()}
    return {task.task_id for task in tasks if any(s.image_id in open_images for s in task.items)}


def next_workers(
    task_ids: Sequence[str],
    missing: Mapping[str, int],
    answered: Mapping[str, Sequence[str]],
    workers: Sequence[str],
) -> list[tuple[str, str]]:
    """Hand the missing responses out so that loads stay equal and no worker gets a task twice.

    Args:
        task_ids: In their order.
        missing: Task -> responses to hand out.
        answered: Task -> workers who have it or had it.
        workers: All workers; of equally busy ones the first is taken.

    Returns:
        Pairs of task and worker; fewer than asked for where a task has had every worker.
    """
    load = dict.fromkeys(workers, 0)
    for names in answered.values():
        for name in names:
            load[name] = load.get(name, 0) + 1
    handed: list[tuple[str, str]] = []
    rank = {worker: position for position, worker in enumerate(workers)}
    for task_id in task_ids:
        seen = set(answered.get(task_id, ()))
        free = sorted((w for w in workers if w not in seen), key=lambda w: (load[w], rank[w]))
        for worker in free[: missing.get(task_id, 0)]:
            load[worker] += 1
            handed.append((task_id, worker))
    return handed
