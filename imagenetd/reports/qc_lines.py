"""What quality control found, in a few lines for the terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from imagenetd.qc.agreement import MIN_MINORITY_IMAGES


def qc_lines(summary: Mapping[str, Any]) -> list[str]:
    """Return the lines: validity before and after where the truth is known, agreement, dropped responses, the gate."""
    return [f"          {line}" for line in _lines(summary)]


def _lines(summary: Mapping[str, Any]) -> Iterator[str]:
    if "truth" in summary:
        shares = [percent(summary[f"valid_share_{name}"]) for name in ("pool", "mined", "accepted")]
        yield (
            f"valid images: {shares[0]} of the pool, {shares[1]} of the mined, {shares[2]} of the accepted "
            f"({percent(summary['valid_kept'])} of the valid mined ones are kept; truth {summary['truth']})"
        )
    if "acceptance" in summary:
        found = {
            name: f"{percent(summary[name])} {interval(summary[f'{name}_interval'])}"
            for name in ("acceptance", "pairwise_agreement", "majority_agreement")
        }
        yield (
            f"acceptance {found['acceptance']}, pairwise agreement {found['pairwise_agreement']}, "
            f"with the majority {found['majority_agreement']}"
        )
        yield _alpha_line(summary)
        yield (
            f"{summary['responses']} responses of {summary['workers']} workers to {summary['tasks']} tasks, "
            f"{summary['responses_dropped']} dropped by sentinels; {summary['votes']} votes on "
            f"{summary['judged']} images, {summary['unmined_judged']} of them unmined"
        )
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
    mined, unmined = summary["mined_slice"], summary["unmined_slice"]
    yield (
        f"gate {summary['gate']} accepts {percent(mined['share'])} {interval(mined['interval'])} of the mined images, "
        f"{percent(unmined['share'])} {interval(unmined['interval'])} of {unmined['images']} random others"
    )
    found = summary["precision_pool_accepted"]
    if found is None:
        yield (
            "precision of the pool that passes: not measured, nobody has judged images of this pool; the gate itself "
            f"claims {percent(summary['gate_claims_pool_accepted'])}. Measure it with qc=local qc.tasks.num_unmined=200"
        )
    else:
        yield (
            f"precision of the pool that passes: {percent(found['value'])} {interval(found['interval'])} "
            f"by votes ({', '.join(summary['votes_from'])}) on {found['num_judged']} of its images; "
            f"calibration: {summary['calibration']}"
        )


def percent(share: float | None) -> str:
    """Return a share in percent, `-` where there is none."""
    return "-" if share is None else f"{100 * share:.1f}%"


def number(value: float | None) -> str:
    """Return a number with three decimals, `-` where it is not defined."""
    return "-" if value is None else f"{value:.3f}"


def interval(ends: list[float | None], *, scale: int = 100) -> str:
    """Return `[71,86]`, in percent unless told otherwise."""
    if any(end is None for end in ends):
        return "[-]"
    digits = 1 if scale == 100 else 3
    return "[" + ", ".join(f"{scale * (end or 0):.{digits}f}" for end in ends) + "]"
