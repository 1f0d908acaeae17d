"""What quality control found, in a few lines for the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from imagenetd.qc.agreement import MIN_MINORITY_IMAGES
from imagenetd.store.numerals import percent_interval


def qc_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return the lines: validity before and after where the truth is known, agreement, dropped responses, the gate."""
    return [f"          {line}" for line in _lines(summary)]


def _lines(summary: Mapping[str, Any]) -> Iterator[str]:
    if "truth" in summary:
        shares = [percent(summary[f"valid_share_{name}"]) for name in ("pool", "mined", "accepted")]
        yield (
            f"valid images: {shares[0]} of the pool, {shares[1]} of the mined, {shares[2]} of the accepted "
            f"({percent(summary['valid_kept'])} of the valid mined ones are kept; exact for these images, truth "
            f"{summary['truth']})"
        )
    if "acceptance" in summary:
        found = {
            name: f"{percent(summary[name])} {interval(summary[f'{name}_interval'])}"
            for name in ("acceptance", "pairwise_agreement", "majority_agreement")
        }
        yield (
            f"acceptance {found['acceptance']}, pairwise agreement {found['pairwise_agreement']}, with the majority "
            f"{found['majority_agreement']}; 95% for other images and other workers, {summary['votes']:,} votes"
        )
        yield _alpha_line(summary)
        yield (
            f"{summary['responses']} responses of {summary['workers']} workers to {summary['tasks']} tasks, "
            f"{summary['responses_dropped']} dropped by sentinels; {summary['votes']} votes on "
            f"{summary['judged']} images, {summary['unmined_judged']} of them unmined"
        )
    if "gate_before_people" in summary:
        yield f"gate {summary['gate_before_people']}, before people:"
        yield from _measured_lines(summary)
    if "gate" in summary:
        yield from _gate_lines(summary)


def _alpha_line(summary: Mapping[str, Any]) -> str:
    if summary["alpha"] is None:
        return (
            f"Krippendorff's alpha: not measurable, {summary['minority_images']} images are of the rarer kind (most "
            f"votes reject, or accept); it needs {MIN_MINORITY_IMAGES}"
        )
    ends = interval(summary["alpha_interval"], scale=1)
    return f"Krippendorff's alpha {number(summary['alpha'])} {ends}"


def _gate_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    mined, unmined = summary["gate_accepts_mined"], summary["gate_accepts_unmined"]
    yield (
        f"gate {summary['gate']} accepts {mined['accepted']} of the {mined['images']} mined images "
        f"({percent(mined['share'])}), {unmined['accepted']} of the {unmined['images']} others "
        f"({percent(unmined['share'])})"
    )
    if summary["precision_pool"] is None:
        yield (
            "precision and recall: not measured, nobody has judged images of this pool in a known way; the gate itself "
            f"claims {percent(summary['gate_claims_pool'])} valid images among those that pass. "
            "Measure it with qc=local qc.tasks.num_unmined=200"
        )
    else:
        yield from _measured_lines(summary)
        voters = ", ".join(summary["votes_from"])
        yield (
            f"by votes ({voters}) on {summary['human_votes_on']} images, each weighed by its chance to be asked; "
            f"calibration: {summary['calibration']}, on the votes of other images"
        )
    for line in summary["votes_left_out"]:
        yield f"votes left out: {line}"


MEASURED = {
    "mined": ("of the mined images that pass", "of the valid mined images"),
    "pool": ("of all images that pass", "of all valid images"),
}


def _measured_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield precision and recall, on the mined images and on the pool, or why there is none."""
    for name, (passing, valid) in MEASURED.items():
        precision, recall = summary[f"precision_{name}"], summary[f"recall_{name}"]
        yield f"precision: {_estimate(precision)} {passing} are valid"
        yield f"recall: {_estimate(recall)} {valid} pass"


def _estimate(found: Mapping[str, Any]) -> str:
    if found["value"] is None:
        return f"not measured ({found.get('why', 'no valid image')}): what share"
    count = f"{found['num_judged']} of {found['num_images']} judged, these images"
    if found["interval"] is None:
        return f"{percent(found['value'])} (all {found['num_images']} judged, these images)"
    return f"{percent(found['value'])} {interval(found['interval'])} ({count})"


def percent(share: float | None) -> str:
    """Return a share in percent, `-` where there is none."""
    return "-" if share is None else f"{100 * share:.1f}%"


def number(value: float | None) -> str:
    """Return a number with three decimals, `-` where it is not defined."""
    return "-" if value is None else f"{value:z.3f}"


def interval(ends: list[float | None], *, scale: int = 100) -> str:
    """Return `[71.0, 86.2]`, in percent unless told otherwise."""
    if any(end is None for end in ends):
        return "[-]"
    low, high = (float(end or 0) for end in ends)
    if scale == 100:
        return percent_interval(low, high, digits=1)
    return f"[{low:z.3f}, {high:z.3f}]"
