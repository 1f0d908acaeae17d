"""From responses to one decision on each image: drop, count, and say how good workers and votes are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from imagenetd.config.qc import AggregationConfig
from imagenetd.qc.agreement import Agreement, Estimate, measure_agreement
from imagenetd.qc.completion import Rules
from imagenetd.qc.crowd import crowd_probability
from imagenetd.qc.judgements import JudgementTable, is_item, item_votes, judgement_table
from imagenetd.qc.sentinels import SentinelFailures, sentinel_failures
from imagenetd.qc.summary import Interval, VoteStatistics
from imagenetd.qc.tasks import Response, Task
from imagenetd.records import Vote


@dataclass(frozen=True, slots=True)
class CountedVotes:
    """What the responses of a run come to."""

    votes: tuple[Vote, ...]
    """On the items of the qualified responses."""
    accepted: frozenset[str]
    """Ids of the images that are valid."""
    statistics: VoteStatistics
    tables: Mapping[str, Sequence[Mapping[str, object]]]
    """`dropped` (task, worker, reason) and `workers` (how each did)."""


def count_votes(
    tasks: Sequence[Task], responses: Sequence[Response], rules: Rules, config: AggregationConfig
) -> CountedVotes:
    """Return votes and decisions from all responses, the earliest first."""
    table = judgement_table(tasks, responses)
    failures = sentinel_failures(table, rules.sentinel_rule)
    counted = is_item(table) & failures.is_qualified[table.response]
    image, worker, accepts = table.image[counted], table.worker[counted], table.accepts[counted]
    probability = crowd_probability(
        image, worker, accepts, num_images=len(table.image_ids), method=config.method
    )
    accepted = probability > config.min_share  # False for NaN: an image without votes is not accepted
    names = zip(table.image_ids, accepted.tolist(), strict=True)
    return CountedVotes(
        item_votes(table, failures.is_qualified),
        accepted=frozenset(name for name, passes in names if passes),
        statistics=_statistics(table, failures, counted, rules, config),
        tables={"dropped": _dropped(table, failures), "workers": _workers(table, failures, counted)},
    )


def _dropped(table: JudgementTable, failures: SentinelFailures) -> list[dict[str, str]]:
    numbers = np.flatnonzero(~failures.is_qualified).tolist()
    rows = ((*table.responses[n], failures.reason(n)) for n in numbers)
    return [{"task": task, "worker": worker, "reason": reason} for task, worker, reason in rows]


def _statistics(
    table: JudgementTable,
    failures: SentinelFailures,
    counted: Bool[np.ndarray, " answers"],
    rules: Rules,
    config: AggregationConfig,
) -> VoteStatistics:
    """Return how many votes there are and how much they agree.

    With sequential stopping the images on which workers agree get few votes and the others many, which biases
    agreement and alpha. Then all are given from the first `min_votes` votes on each image, which are asked for
    whatever they say and so are not biased; `of_all_votes` shows the biased ones.
    """
    agreement, of_all_votes = _agreement(table, counted, config), None
    if rules.stopping.enabled:
        of_all_votes = (_rounded(agreement.acceptance.value), _rounded(agreement.alpha.value))
        first = counted & (_vote_number(table, counted) < rules.stopping.min_votes)
        agreement = _agreement(table, first, config)
    return VoteStatistics(
        aggregation=config.method.value,
        minority_images=agreement.num_minority,
        responses=len(table.responses),
        responses_dropped=len(table.responses) - int(failures.is_qualified.sum()),
        workers=len(table.workers),
        votes=int(counted.sum()),
        judgements=len(table.role),
        of_all_votes=of_all_votes,
        acceptance=_rounded(agreement.acceptance.value),
        acceptance_interval=_ends(agreement.acceptance),
        pairwise_agreement=_rounded(agreement.pairwise.value),
        pairwise_agreement_interval=_ends(agreement.pairwise),
        majority_agreement=_rounded(agreement.majority.value),
        majority_agreement_interval=_ends(agreement.majority),
        alpha=_rounded(agreement.alpha.value),
        alpha_interval=_ends(agreement.alpha),
    )


def _rounded(number: float) -> float | None:
    return None if number != number else round(number, 6)


def _ends(estimate: Estimate) -> Interval:
    return _rounded(estimate.low), _rounded(estimate.high)


def _agreement(
    table: JudgementTable, rows: Bool[np.ndarray, " answers"], config: AggregationConfig
) -> Agreement:
    return measure_agreement(
        table.image[rows], table.worker[rows], table.accepts[rows], confidence=config.confidence
    )


def _tally(
    code: Int[np.ndarray, " votes"], accepts: Bool[np.ndarray, " votes"], size: int
) -> tuple[Int[np.ndarray, " codes"], Int[np.ndarray, " codes"]]:
    return np.bincount(code[accepts], minlength=size), np.bincount(code, minlength=size)


def _vote_number(table: JudgementTable, counted: Bool[np.ndarray, " answers"]) -> Int[np.ndarray, " answers"]:
    """Return, for each counted answer, how many counted ones on the same image came before it; else a large number."""
    number = np.full(len(table.image), np.iinfo(np.int64).max)
    rows = np.flatnonzero(counted)
    order = rows[np.argsort(table.image[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(table.image[order], prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    number[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    return number


def _workers(
    table: JudgementTable, failures: SentinelFailures, counted: Bool[np.ndarray, " answers"]
) -> list[dict[str, object]]:
    """Return how each worker did; `agrees` compares each vote with the majority of the others' votes, ties left out."""
    size = len(table.workers)
    image, worker, accepts = table.image[counted], table.worker[counted], table.accepts[counted]
    yes, votes = _tally(image, accepts, len(table.image_ids))
    margin = 2 * (yes[image] - accepts) - (votes[image] - 1)
    decided = margin != 0
    code = {name: number for number, name in enumerate(table.workers)}
    owner = np.array([code[name] for _, name in table.responses], dtype=np.int64)
    num_responses = np.bincount(owner, minlength=size)
    num_dropped = np.bincount(owner[~failures.is_qualified], minlength=size)
    worker_yes, worker_votes = _tally(worker, accepts, size)
    agrees, compared = _tally(worker[decided], ((margin > 0) == accepts)[decided], size)
    columns = (
        num_responses,
        num_dropped,
        worker_votes,
        worker_yes / np.maximum(worker_votes, 1),
        agrees,
        compared,
    )
    keys = ("responses", "dropped", "votes", "share_accepted", "agrees_with_others", "compared")
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        {"worker": name} | dict(zip(keys, row, strict=True))
        for name, row in zip(table.workers, rows, strict=True)
    ]
