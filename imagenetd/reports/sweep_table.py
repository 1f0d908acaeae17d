"""The table at the end of a sweep: one row for each target of each job."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from imagenetd.reports.tables import NUMBERS, SETS
from imagenetd.reports.terminal import interval_cell, percent
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES, subset_difference
from imagenetd.store.console import cell, new_table
from imagenetd.store.numerals import percent_interval


def comparison_table(
    summaries: Sequence[Mapping[str, Any]],
    *,
    overrides: Sequence[Sequence[str]] | None = None,
    numbers: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Return one row for each target of each job, in the order given: what it was, set sizes, accuracies.

    Columns: `job`, `name`, `overrides`, `surrogates` (names), `num_surrogates`, `min_failures`, `target`, `relation`
    (what it is to these surrogates), `regime`, `chance`, `num_pool`, `num_mined`, `num_accepted`, for each set
    `<set>_accuracy` with counts and Wilson interval, and `drop` with its ends: pool minus mined, or, where images were
    accepted, pool passing the same gate minus accepted. All intervals stand for `interval_for`. A number that a job
    does not have is NaN. Images mined by other surrogates are other images: rows of different `surrogates` are
    different tests.

    Args:
        summaries: Content of each job's `summary.json`.
        overrides: Of each job, e.g. `["surrogates=one_tiny", "target=tiny_clip"]`.
        numbers: Of each job in its sweep, where some are left out; None: 0, 1, 2 and so on.
    """
    given = overrides if overrides is not None else [()] * len(summaries)
    rows = [
        _row(job, summary, changed, target)
        for job, summary, changed in zip(numbers or range(len(summaries)), summaries, given, strict=True)
        for target in summary.get("targets") or (summary["target"],)
    ]
    return pd.DataFrame(rows)


def comparison_view(table: pd.DataFrame, *, min_images: int = 5) -> Table:
    """Return the comparison for the terminal; without a column that says the same in every row."""
    sets = [name for name in ("pool", "mined", "accepted") if not table[f"{name}_accuracy"].isna().all()]
    view = new_table("comparison of the jobs: accuracy of each target", caption_justify="left")
    view.caption = (
        f"% [95% interval] images; intervals are for {THESE_CATEGORIES} (other seeds); dim: few images"
    )
    view.add_column("job", justify="right")
    view.add_column("overrides", overflow="fold")
    for title in ("target, label space", "k/n"):
        view.add_column(title, no_wrap=True)
    for name in (*sets, "drop"):
        view.add_column(name, justify="right", no_wrap=True)
    for row in table.to_dict("records"):
        changed = row["overrides"] or row["name"]
        view.add_row(
            *(
                str(row["job"]),
                Text("\n").join(cell(change) for change in changed.split(" ")),
                _in_lines(row["target"], row["relation"], row["regime"]),
            ),
            f"{row['min_failures']}/{row['num_surrogates']}",
            *(_cell(row, name, min_images) for name in sets),
            _drop_text(row, min_images),
        )
    return view


def _in_lines(target: str, relation: str, regime: str) -> Text:
    """Return the target, and dim below it what it is to the surrogates and its label space."""
    words = [*relation.split(", "), regime] if relation != "target" else [regime]
    return cell(target) + Text("".join(f"\n{word}" for word in words if word), style="dim")


def _row(job: int, summary: Mapping[str, Any], overrides: Sequence[str], target: str) -> dict[str, Any]:
    accuracies = summary["models"][target]["accuracy"]
    row: dict[str, Any] = {
        "job": job,
        "name": summary["name"],
        "overrides": " ".join(overrides),
        "surrogates": " ".join(summary["surrogates"]),
        "num_surrogates": len(summary["surrogates"]),
        "min_failures": summary["mining"]["min_failures"] or len(summary["surrogates"]),
        "target": target,
        "relation": summary["models"][target].get("relation", ""),
        "regime": summary["models"][target].get("regime", ""),
        "chance": summary["models"][target].get("chance", math.nan),
    }
    row |= {
        f"num_{name}": summary["num_images"].get(name, math.nan) for name in ("pool", "mined", "accepted")
    }
    for name in SETS:
        numbers = accuracies.get(name) or {}
        row |= {f"{name}_{number}": _number(numbers.get(number)) for number in NUMBERS}
    return row | _drop(row)


def _number(value: int | float | None) -> int | float:
    """JSON has no NaN: `null` stands for it."""
    return math.nan if value is None else value


def _drop(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the drop from a set to its own subset with its ends and the number of images it rests on."""
    end = "mined" if math.isnan(row["accepted_accuracy"]) else "accepted"
    is_judged = end == "accepted" and not math.isnan(row["pool_accepted_accuracy"])
    start = "pool_accepted" if is_judged else "pool"
    counts = [row[f"{name}_{what}"] for name in (start, end) for what in ("num_correct", "num_images")]
    known = not any(math.isnan(count) for count in counts)
    found = subset_difference(*(float(count) if known else 0.0 for count in counts))
    return {
        **{"drop": row[f"{start}_accuracy"] - row[f"{end}_accuracy"]},
        **{"drop_low": float(found.low), "drop_high": float(found.high)},
        **{"drop_num_images": row[f"{end}_num_images"], "interval_for": THESE_CATEGORIES},
    }


def _drop_text(row: Mapping[str, Any], min_images: int) -> Text:
    if math.isnan(row["drop"]):
        return Text("-", style="dim")
    ends = percent_interval(row["drop_low"], row["drop_high"], between=",")
    style = "dim" if row["drop_num_images"] < min_images else ""
    return Text(f"{percent(row['drop'])}\n{ends}", style=style)


def _cell(row: Mapping[str, Any], name: str, min_images: int) -> Text:
    if math.isnan(row[f"{name}_accuracy"]):
        return Text("-", style="dim")
    low, high, count = (row[f"{name}_{number}"] for number in ("wilson_low", "wilson_high", "num_images"))
    return interval_cell(row[f"{name}_accuracy"], low, high, int(count), min_images=min_images)
