"""What quality control found, in a few lines for the terminal."""

from collections.abc import Iterator, Mapping

from imagenetd.qc.agreement import MIN_MINORITY_IMAGES
from imagenetd.qc.summary import (
    GateShares,
    GateSummary,
    Interval,
    MeasuredShare,
    PeopleSummary,
    QcSummary,
    VoteStatistics,
)
from imagenetd.store.numerals import percent_interval


def qc_lines(summary: Mapping[str, object]) -> list[str]:
    """Return the lines: validity before and after where the truth is known, agreement, dropped responses, the gate.

    Args:
        summary: What `QcSummary.plain` gave; empty while votes are missing.
    """
    return [f"          {line}" for line in _lines(QcSummary.read(summary))] if summary else []


def _lines(summary: QcSummary) -> Iterator[str]:
    if summary.truth is not None:
        known = summary.truth
        yield (
            f"valid images: {percent(known.valid_share_pool)} of the pool, {percent(known.valid_share_mined)} of the "
            f"mined, {percent(known.valid_share_accepted)} of the accepted ({percent(known.valid_kept)} of the valid "
            f"mined ones are kept; exact for these images, truth {known.truth})"
        )
    if isinstance(summary.votes, PeopleSummary):
        yield from _people_lines(summary.votes)
    elif isinstance(summary.votes, GateSummary):
        yield from _gate_lines(summary.votes)


def _people_lines(found: PeopleSummary) -> Iterator[str]:
    votes = found.votes
    yield (
        f"acceptance {percent(votes.acceptance)} {interval(votes.acceptance_interval)}, "
        f"pairwise agreement {percent(votes.pairwise_agreement)} {interval(votes.pairwise_agreement_interval)}, "
        f"with the majority {percent(votes.majority_agreement)} {interval(votes.majority_agreement_interval)}; "
        f"95% for other images and other workers, {votes.votes:,} votes"
    )
    yield _alpha_line(votes)
    yield (
        f"{votes.responses} responses of {votes.workers} workers to {found.tasks} tasks, "
        f"{votes.responses_dropped} dropped by sentinels; {votes.votes} votes on "
        f"{found.judged} images, {found.unmined_judged} of them unmined"
    )
    if found.gate is not None:
        yield f"gate {found.gate.gate_before_people}, before people:"
        yield from _measured_lines(found.gate.shares)


def _alpha_line(votes: VoteStatistics) -> str:
    if votes.alpha is None:
        return (
            f"Krippendorff's alpha: not measurable, {votes.minority_images} images are of the rarer kind (most "
            f"votes reject, or accept); it needs {MIN_MINORITY_IMAGES}"
        )
    return f"Krippendorff's alpha {number(votes.alpha)} {interval(votes.alpha_interval, scale=1)}"


def _gate_lines(found: GateSummary) -> Iterator[str]:
    mined, unmined = found.gate_accepts_mined, found.gate_accepts_unmined
    yield (
        f"gate {found.gate} accepts {mined.accepted} of the {mined.images} mined images "
        f"({percent(mined.share)}), {unmined.accepted} of the {unmined.images} others "
        f"({percent(unmined.share)})"
    )
    if found.shares.precision_pool is None:
        yield (
            "precision and recall: not measured, nobody has judged images of this pool in a known way; the gate itself "
            f"claims {percent(found.gate_claims_pool)} valid images among those that pass. "
            "Measure it with qc=local qc.tasks.num_unmined=200"
        )
    else:
        yield from _measured_lines(found.shares)
        yield (
            f"by votes ({', '.join(found.votes_from)}) on {found.human_votes_on} images, each weighed by its chance to "
            f"be asked; calibration: {found.calibration}, on the votes of other images"
        )


def _measured_lines(found: GateShares) -> Iterator[str]:
    """Yield precision and recall, on the mined images and on the pool, or why there is none."""
    yield f"precision: {_estimate(found.precision_mined)} of the mined images that pass are valid"
    yield f"recall: {_estimate(found.recall_mined)} of the valid mined images pass"
    yield f"precision: {_estimate(found.precision_pool)} of all images that pass are valid"
    yield f"recall: {_estimate(found.recall_pool)} of all valid images pass"


def _estimate(found: MeasuredShare | None) -> str:
    assert found is not None, "what nobody has judged is told in another line"
    if found.value is None:
        return f"not measured ({found.why or 'no valid image'}): what share"
    if found.interval is None:
        return f"{percent(found.value)} (all {found.num_images} judged, these images)"
    count = f"{found.num_judged} of {found.num_images} judged, these images"
    return f"{percent(found.value)} {interval(found.interval)} ({count})"


def percent(share: float | None) -> str:
    """Return a share in percent, `-` where there is none."""
    return "-" if share is None else f"{100 * share:.1f}%"


def number(value: float | None) -> str:
    """Return a number with three decimals, `-` where it is not defined."""
    return "-" if value is None else f"{value:z.3f}"


def interval(ends: Interval, *, scale: int = 100) -> str:
    """Return `[71.0, 86.2]`, in percent unless told otherwise."""
    if any(end is None for end in ends):
        return "[-]"
    low, high = (float(end or 0) for end in ends)
    if scale == 100:
        return percent_interval(low, high, digits=1)
    return f"[{low:z.3f}, {high:z.3f}]"
