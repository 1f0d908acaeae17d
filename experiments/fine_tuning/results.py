"""What the trainings of a study say: accuracy of every arm on every test, its distance to the reference, and a plot."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

NUM_DRAWS = 4000
COLOURS = ("#6b7280", "#1f6fb4", "#c2571a", "#2e7d5b", "#7b4fa3", "#a1374f")

Answers = Mapping[str, Mapping[str, Bool[np.ndarray, "seeds images"]]]
"""Arm -> test -> which images each training gets right."""


def summarise(answers: Answers, reference: str) -> pd.DataFrame:
    """Return one row for each arm and test: mean accuracy over the seeds, and the difference to the reference arm.

    Intervals (95%) are percentiles of a bootstrap that redraws the seeds and the images, the same ones for both
    arms of a difference: both another training and another test set could have come out otherwise.
    """
    rows = []
    for arm, tests in answers.items():
        for test, right in tests.items():
            base = np.asarray(answers[reference][test], dtype=float)
            mine = np.asarray(right, dtype=float)
            both = np.stack([mine, np.broadcast_to(base[: len(mine)], mine.shape)])
            drawn = _bootstrap(both)
            accuracy, difference = drawn[0], drawn[0] - drawn[1]
            rows.append(
                {
                    "arm": arm,
                    "test": test,
                    "num_images": mine.shape[1],
                    "num_seeds": mine.shape[0],
                    "accuracy": mine.mean(),
                    "accuracy_low": np.percentile(accuracy, 2.5),
                    "accuracy_high": np.percentile(accuracy, 97.5),
                    "sd_over_seeds": mine.mean(axis=1).std(ddof=1) if len(mine) > 1 else 0.0,
                    "difference": mine.mean() - both[1].mean(),
                    "difference_low": np.percentile(difference, 2.5),
                    "difference_high": np.percentile(difference, 97.5),
                }
            )
    return pd.DataFrame(rows)


def _bootstrap(right: Float[np.ndarray, "arms seeds images"]) -> Float[np.ndarray, "arms draws"]:
    """Return the mean accuracy of each arm in each redrawing of seeds and images, shared by the arms."""
    rng = np.random.default_rng(0)
    _, num_seeds, num_images = right.shape
    seeds = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), NUM_DRAWS) / num_seeds
    images = rng.multinomial(num_images, np.full(num_images, 1 / num_images), NUM_DRAWS) / num_images
    return np.einsum("ds,asi,di->ad", seeds, right, images, optimize=True)


def verdict(table: pd.DataFrame, reference: str) -> dict[str, Any]:
    """Return the differences to the reference in points, with their intervals, arm by arm."""
    found: dict[str, Any] = {}
    for row in table[table["arm"] != reference].to_dict("records"):
        points = [round(100 * row[f"difference{end}"], 1) for end in ("", "_low", "_high")]
        found.setdefault(row["arm"], {})[row["test"]] = {"points": points[0], "interval": points[1:]}
    return {"reference": reference, "difference_to_reference": found}


def plot(table: pd.DataFrame, title: str) -> bytes:
    """Return, as PNG, the accuracy of every arm on every test with its interval."""
    from matplotlib.figure import Figure

    tests, arms = list(dict.fromkeys(table["test"])), list(dict.fromkeys(table["arm"]))
    figure = Figure(figsize=(7.2, 4.0), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for number, arm in enumerate(arms):
        rows = table[table["arm"] == arm].set_index("test").loc[tests]
        position = np.arange(len(tests)) + (number - (len(arms) - 1) / 2) * 0.16
        middle = 100 * rows["accuracy"].to_numpy()
        ends = 100 * rows[["accuracy_low", "accuracy_high"]].to_numpy()
        axes.errorbar(
            position,
            middle,
            yerr=np.abs(ends.T - middle),
            fmt="o",
            capsize=3,
            color=COLOURS[number % len(COLOURS)],
            label=arm,
        )
        for x, y in zip(position, middle, strict=True):
            axes.annotate(f"{y:.0f}", (x, y), (6, -3), textcoords="offset points", fontsize=7)
    counts = table.drop_duplicates("test").set_index("test")["num_images"]
    axes.set_xticks(np.arange(len(tests)), [f"{test}\n{counts[test]} images" for test in tests])
    axes.set_xlim(-0.6, len(tests) - 0.4)
    axes.set_ylim(0, 103)
    axes.set_ylabel("accuracy, %")
    axes.set_title(title, fontsize=11)
    axes.grid(axis="y", alpha=0.25)
    axes.legend(frameon=False, ncols=len(arms), loc="upper center", bbox_to_anchor=(0.5, -0.16))
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()
