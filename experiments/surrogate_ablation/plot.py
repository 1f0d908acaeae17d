"""The curve of the study as a picture."""

import io

import pandas as pd

COLOURS = ("#1f6fb4", "#c2571a", "#2e8540", "#8a4fb0", "#6b6b6b", "#b0a200")


def plot(curve: pd.DataFrame) -> bytes:
    """Return PNG: accuracy against the number of surrogates that must all fail, a panel for each seed.

    Bands are 95% intervals over categories. Solid: targets that never mine; dashed: surrogates, mined by the others.
    """
    from matplotlib.figure import Figure

    rows = curve[curve["num_surrogates"] == curve["min_failures"]]
    seeds = rows["seed"].unique().tolist()
    figure = Figure(figsize=(5.0 * len(seeds) + 1.6, 4.4), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(seeds), sharey=True, squeeze=False)[0]
    colours = dict(zip(rows["target"].unique(), COLOURS, strict=False))
    for axes, seed in zip(panels, seeds, strict=True):
        for target, line in rows[rows["seed"] == seed].groupby("target", sort=False):
            held_out = line["relation"].iloc[0] == "held-out surrogate"
            style = {"color": colours[target], "linestyle": "--" if held_out else "-"}
            label = f"{target} ({line['relation'].iloc[0]})"
            axes.plot(line["num_surrogates"], 100 * line["accuracy"], marker="o", label=label, **style)
            if not held_out:
                low, high = 100 * line["low"], 100 * line["high"]
                axes.fill_between(line["num_surrogates"], low, high, color=colours[target], alpha=0.12)
        axes.set_title(f"pool of seed {seed}", fontsize=10)
        axes.set_xlabel("surrogates that must all fail")
        axes.set_xticks(range(5), ["0\n(pool)", "1", "2", "3", "4"])
        axes.grid(alpha=0.25)
        axes.set_ylim(0, 100)
    panels[0].set_ylabel("accuracy on judged images, %")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
    figure.suptitle("Shared failure transfers: tiny world, mean over the subsets of each size", fontsize=11)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()
