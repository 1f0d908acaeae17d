"""The same tables for people: rich renderables that fit 100 columns."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from imagenetd.reports.evidence import ReportResult
from imagenetd.reports.tables import SETS, extreme, held_together
from imagenetd.scoring.counts import ALL
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES
from imagenetd.store.console import cell, new_table
from imagenetd.store.numerals import percent_interval, significant

TITLES = {"pool": "pool", "pool_accepted": "pool passing qc", "mined": "mined"}
TITLES |= {"confirmation": "second seed", "accepted": "accepted"}
LEGEND = (
    "accuracy % [95% interval] images; dim below {min_images} images. Intervals: {population}, other seeds."
)
DROP_LEGEND = "drop: {drop}, points: a set minus its own subset"
DROPS = {"drop_accepted": "accepted", "drop_mined": "mined"}
"""Column of the drop -> the subset at its end."""
SETS_OF_CELLS = ("pool", "mined", "confirmation", "accepted")
"""What the longer tables show: the fourth set would not fit 100 columns."""


def terminal_tables(
    tables: Mapping[str, pd.DataFrame],
    costs: Mapping[str, float | None],
    *,
    min_images: int,
    max_rows_per_kind: int,
) -> list[RenderableType]:
    """Return what the terminal shows at the end of a run, in order.

    Args:
        tables: From `build_tables`.
        costs: From `cost`.
        min_images: Cells with fewer images are dim: their accuracy says little.
        max_rows_per_kind: Larger kinds show only the nuisances with the lowest accuracy.
    """
    shown: list[RenderableType] = []
    for model in tables["overall"]["model"].drop_duplicates():
        kinds = tables["overall"].query("model == @model")
        nuisances = tables["per_nuisance"].query("model == @model")
        named = f"{model} ({_part_of(kinds.iloc[0])})"
        shown.append(_kinds_table(kinds, title=f"{named} by kind", min_images=min_images))
        if len(nuisances):
            title = f"{named} by nuisance"
            shown.append(_nuisances_table(nuisances, title, min_images, max_rows_per_kind))
    drop = _drop_of(tables["overall"])
    shown.append(Text(LEGEND.format(min_images=min_images, population=THESE_CATEGORIES), style="dim"))
    if drop:
        is_judged = drop == "drop_accepted" and "pool_accepted_accuracy" in tables["overall"]
        start = TITLES["pool_accepted" if is_judged else "pool"]
        shown.append(Text(DROP_LEGEND.format(drop=f"{start} - {DROPS[drop]}"), style="dim"))
    if "regime" in tables["overall"]:
        shown.append(regime_line(tables["overall"]))
    if len(tables["surrogates"]):
        shown.append(_totals_table(tables["surrogates"], min_images=min_images))
    if "hard_yield" in tables["yields"]:
        shown += [
            _yields_table(tables["yields"], min_images),
            Text(YIELD_LEGEND, style="dim"),
            cost_line(costs),
        ]
    return shown


def _part_of(row: Mapping[str, Any]) -> str:
    """Return `target: same family`; without a known relation the role alone."""
    role, relation = row["role"], row.get("relation", "")
    return f"{role}: {relation}" if relation and relation != role else role


def findings_view(results: Sequence[ReportResult], *, most: int = 1) -> list[RenderableType]:
    """Return what the reports found, at most so many sentences of each; all stand in `summary.json`."""
    more = sum(max(0, len(result.findings) - most) for result in results)
    found = [sentence for result in results for sentence in result.findings[:most]]
    if not found:
        return []
    view = new_table("findings", box=None, show_header=False)
    for sentence in found:
        view.add_row("-", cell(sentence))
    if more:
        view.add_row("", Text(f"{more} more in summary.json, the numbers in tables/<report>/", style="dim"))
    return [view]


def regime_line(overall: pd.DataFrame) -> Text:
    """Return what a guess would score for each target: numbers of different regimes are not compared."""
    rows = overall.drop_duplicates("model").to_dict("records")
    parts = [f"{row['model']} {row['regime']}, chance {significant(100 * row['chance'])}%" for row in rows]
    return cell(f"label space: {'; '.join(parts)}", style="dim")


def cost_line(costs: Mapping[str, float | None]) -> Text:
    """Return `cost: 0.12 s per generated, 1.3 s per mined image`."""
    parts = [
        f"{significant(seconds, 3)} s per {name.removeprefix('seconds_per_').removesuffix('_image')}"
        for name, seconds in costs.items()
        if seconds is not None
    ]
    return Text(f"cost: {', '.join(parts)} image" if parts else "cost: no image was made")


def interval_cell(accuracy: float, low: float, high: float, num_images: int, *, min_images: int) -> Text:
    """Return `71.2 [65,77] 480`, dim below `min_images`, `-` without any image."""
    if num_images == 0 or math.isnan(accuracy):
        return Text("-", style="dim")
    share = "100" if accuracy == 1 else f"{100 * accuracy:.1f}"
    interval = percent_interval(low, high, between=",")
    style = "dim" if num_images < min_images else ""
    return Text(f"{share} {interval:>8} {num_images:>3}", style=style)


def drop_cell(row: Mapping[str, Any], drop: str, *, min_images: int, is_narrow: bool = False) -> Text:
    """Return `70.5 [63,76]`, points lost from a set to its own subset; dim where the subset has too few images.

    Beside four sets (`is_narrow`) there is no room in 100 columns: the ends go below.
    """
    if math.isnan(row[drop]):
        return Text("-", style="dim")
    count = row[f"{DROPS[drop]}_num_images"]
    ends = percent_interval(row[f"{drop}_low"], row[f"{drop}_high"], between=",")
    gap = "\n" if is_narrow else " "
    return Text(f"{percent(row[drop])}{gap}{ends}", style="dim" if count < min_images else "")


def share_cell(share: float, low: float, high: float, num_images: int, *, min_images: int) -> Text:
    """Return `12.7 [11,15]`, a share in percent with its ends, dim below `min_images`; `-` for NaN."""
    if math.isnan(share):
        return Text("-", style="dim")
    value = "100" if share == 1 else percent(share)
    style = "dim" if num_images < min_images else ""
    return Text(f"{value} {percent_interval(low, high, between=',')}", style=style)


def percent(share: float, *, signed: bool = False) -> str:
    """Return a share in percent with one decimal; `-` for NaN."""
    if share is None or math.isnan(share):
        return "-"
    return f"{100 * share:+z.1f}" if signed else f"{100 * share:z.1f}"


def _kinds_table(kinds: pd.DataFrame, *, title: str, min_images: int) -> Table:
    sets = _sets_of(kinds, SETS)
    drop = _drop_of(kinds)
    table = _new_table(title, "kind", sets)
    if drop:
        table.add_column("drop", justify="right", no_wrap=True)
    for row in kinds.to_dict("records"):
        change = [drop_cell(row, drop, min_images=min_images, is_narrow=len(sets) > 3)] if drop else []
        cells = _interval_cells(row, sets, min_images)
        table.add_row(cell(row["kind"]), *cells, *change, end_section=row["kind"] == ALL)
    return table


def _drop_of(frame: pd.DataFrame) -> str | None:
    return next((name for name in DROPS if name in frame), None)


def _nuisances_table(nuisances: pd.DataFrame, title: str, min_images: int, max_rows: int) -> Table:
    sets = _sets_of(nuisances, SETS_OF_CELLS)
    table = _new_table(title, "nuisance", sets)
    for kind, rows in nuisances.groupby("kind", sort=False):
        worst = _worst(rows, max_rows)
        note = "" if len(worst) == len(rows) else f", lowest {len(worst)} of {len(rows)}, 95% for all at once"
        table.add_row(cell(f"{kind}{note}", style="bold"))
        for row in worst.to_dict("records"):
            table.add_row(cell(f"  {row['nuisance']}"), *_interval_cells(row, sets, min_images))
        table.add_section()
    return table


def _worst(rows: pd.DataFrame, max_rows: int) -> pd.DataFrame:
    """Return at most so many rows, the lowest first, with intervals that hold for all rows together when it chooses."""
    if len(rows) <= max_rows:
        return rows
    ranked = next(
        (f"{name}_accuracy" for name in ("pool_accepted", "pool") if f"{name}_accuracy" in rows), None
    )
    chosen = rows.sort_values(ranked, kind="stable").head(max_rows) if ranked else rows.head(max_rows)
    return held_together(chosen, num_compared=len(rows))


def _totals_table(surrogates: pd.DataFrame, *, min_images: int) -> Table:
    sets = _sets_of(surrogates, SETS_OF_CELLS)
    table = _new_table("models that chose the images (not to be ranked with targets)", "model", sets)
    for row in surrogates.query("kind == @ALL").to_dict("records"):
        table.add_row(cell(f"{row['model']} ({row['role']})"), *_interval_cells(row, sets, min_images))
    return table


def _yields_table(yields: pd.DataFrame, min_images: int) -> Table:
    """Per kind, with the nuisances of the highest and of the lowest yield."""
    counts = [column for column in yields if column.startswith("num_")]
    shares = [column for column in ("hard_yield", "acceptance") if column in yields]
    table = _new_table(
        "hard images: yield = mined / pool, kept = accepted / mined",
        "kind",
        [],
    )
    for column in [*counts, *shares]:
        title = {"hard_yield": "yield %", "acceptance": "kept %"}.get(column, column.removeprefix("num_"))
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("highest yield %", style="dim", no_wrap=True)
    table.add_column("lowest yield %", style="dim", no_wrap=True)
    for row in yields.query("nuisance == @ALL").to_dict("records"):
        numbers = [f"{row[column]:,}" for column in counts]
        found = [_share_of(row, column, min_images) for column in shares]
        extremes = _extremes(yields, row["kind"], min_images)
        table.add_row(cell(row["kind"]), *numbers, *found, *extremes, end_section=row["kind"] == ALL)
    return table


YIELD_LEGEND = (
    f"[95% interval] for {THESE_CATEGORIES}; highest, lowest: images; for all nuisances of the row at once"
)


def _share_of(row: Mapping[str, Any], column: str, min_images: int) -> Text:
    whole = row["num_pool" if column == "hard_yield" else "num_mined"]
    ends = row[f"{column}_low"], row[f"{column}_high"]
    return share_cell(row[column], *ends, whole, min_images=min_images)


def _extremes(yields: pd.DataFrame, kind: str, min_images: int) -> Iterator[Text]:
    cells = yields[(yields["nuisance"] != ALL) & ((yields["kind"] == kind) | (kind == ALL))]
    for highest in (True, False):
        found = extreme(cells, highest=highest)
        if found is None:
            yield Text("-")
            continue
        count = found.num_pool
        ends = share_cell(found.hard_yield, found.low, found.high, count, min_images=min_images)
        yield cell(found.nuisance) + Text("\n") + ends + Text(f" {count}")


def _new_table(title: str, first: str, sets: list[str]) -> Table:
    table = new_table(title)
    table.add_column(cell(first), no_wrap=True)
    for name in sets:
        table.add_column(cell(TITLES.get(name, name)), justify="right", no_wrap=True)
    return table


def _sets_of(frame: pd.DataFrame, sets: tuple[str, ...]) -> list[str]:
    return [name for name in sets if f"{name}_accuracy" in frame]


def _interval_cells(row: Mapping[str, Any], sets: list[str], min_images: int) -> list[Text]:
    numbers = ("accuracy", "wilson_low", "wilson_high", "num_images")
    return [interval_cell(*(row[f"{name}_{n}"] for n in numbers), min_images=min_images) for name in sets]
