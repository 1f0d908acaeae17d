"""Which responses failed a sentinel: any failure drops the whole response (paper, section 3.3). Pure."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from imagenetd.config.qc import SentinelRule
from imagenetd.qc.judgements import ROLES, JudgementTable
from imagenetd.qc.tasks import SlotRole

REASONS = {
    SlotRole.POSITIVE: "said no to an image that shows the object",
    SlotRole.NEGATIVE: "said yes to an image of another object",
    SlotRole.CONSISTENCY: "answered the same image differently",
    SlotRole.HARD_POSITIVE: "said no to a hard image that shows the object",
    SlotRole.HARD_NEGATIVE: "said yes to a hard image that does not show the object",
}


@dataclass(frozen=True)
class SentinelFailures:
    """How many sentinels of each kind each response failed."""

    counts: dict[SlotRole, Int[np.ndarray, " responses"]]

    @property
    def is_qualified(self) -> Bool[np.ndarray, " responses"]:
        """Mark the responses that failed none."""
        return np.sum(list(self.counts.values()), axis=0) == 0

    def reason(self, response: int) -> str:
        """Return why a response is dropped; empty for a qualified one."""
        failed = ((REASONS[role], int(count[response])) for role, count in self.counts.items())
        return "; ".join(f"{reason} ({count})" for reason, count in failed if count)


def sentinel_failures(table: JudgementTable, rule: SentinelRule) -> SentinelFailures:
    """Count the failed sentinels of every response.

    Args:
        table: All answers.
        rule: Which of the two answers a sentinel binds.
    """
    bits = bound_answers(table, rule)
    of_role = {role: table.role == code for code, role in enumerate(ROLES)}
    failed = {
        SlotRole.POSITIVE: of_role[SlotRole.POSITIVE] & ~bits.all(axis=1),
        SlotRole.NEGATIVE: of_role[SlotRole.NEGATIVE] & bits.any(axis=1),
        SlotRole.CONSISTENCY: _differs_from_item(table, bits),
        SlotRole.HARD_POSITIVE: of_role[SlotRole.HARD_POSITIVE] & ~bits.all(axis=1),
        SlotRole.HARD_NEGATIVE: of_role[SlotRole.HARD_NEGATIVE] & bits.any(axis=1),
    }
    num_responses = len(table.responses)
    return SentinelFailures(
        {role: np.bincount(table.response[rows], minlength=num_responses) for role, rows in failed.items()}
    )


def bound_answers(table: JudgementTable, rule: SentinelRule) -> Bool[np.ndarray, "answers bits"]:
    """Return the answers that a rule looks at: two bits for `both`, else one."""
    columns = {
        SentinelRule.both: (table.can_recognise, table.can_use),
        SentinelRule.accepted: (table.accepts,),
        SentinelRule.recognise: (table.can_recognise,),
        SentinelRule.use: (table.can_use,),
    }[rule]
    return np.stack(columns, axis=1)


def _differs_from_item(
    table: JudgementTable, bits: Bool[np.ndarray, "answers bits"]
) -> Bool[np.ndarray, " answers"]:
    """Mark the repeats whose answers are not those to the same image where it first stands in the response."""
    differs = np.zeros(len(table.role), dtype=bool)
    repeats = np.flatnonzero(table.role == ROLES.index(SlotRole.CONSISTENCY))
    first = np.flatnonzero(table.role != ROLES.index(SlotRole.CONSISTENCY))
    if len(repeats) == 0:
        return differs
    place = table.response * len(table.image_ids) + table.image
    order = first[np.argsort(place[first], kind="stable")]
    found = order[np.searchsorted(place[order], place[repeats])]
    differs[repeats] = (bits[found] != bits[repeats]).any(axis=1)
    return differs
