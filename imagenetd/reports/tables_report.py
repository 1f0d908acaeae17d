"""The report `tables`: CSV files, a plot, and what the terminal shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pandas as pd
from rich.console import RenderableType

from imagenetd.config.ranges import AnyCount, Range
from imagenetd.records import Score
from imagenetd.reports.plot import nuisance_plot
from imagenetd.reports.tables import build_tables, write_csv
from imagenetd.reports.terminal import terminal_tables
from imagenetd.store.folders import write_bytes_atomic


@dataclass(frozen=True, slots=True)
class TablesReport:
    """Accuracy per kind and per nuisance, yields and cost."""

    min_images: AnyCount = 5
    """Cells with fewer images are shown dim (terminal) or hollow (plot)."""
    max_rows_per_kind: Annotated[int, Range(0, 100_000)] = 12
    """Terminal and plot show at most so many nuisances of each kind, the worst; the CSV files hold all."""
    plot: bool = True
    """Also draw `per_nuisance.png`."""

    def write(
        self,
        scores: Sequence[Score],
        folder: Path,
        *,
        costs: Mapping[str, float | None],
        regimes: Mapping[str, tuple[str, float]] | None = None,
        relations: Mapping[str, str] | None = None,
        sizes: Sequence[Score] = (),
    ) -> list[RenderableType]:
        """Write the tables into `folder` and return what the terminal shall show.

        Files: `overall.csv`, `per_nuisance.csv`, `surrogates.csv`, `yields.csv`, and `per_nuisance.png` for
        the first target, `per_nuisance_<model>.png` for each further one.

        Args:
            scores: Of all models, from `counts.score_rows`.
            folder: Made if absent.
            costs: Seconds that an image costs, from `tables.cost`.
            regimes: Name of a model -> its regime and chance level, which then stand in every row.
            relations: Name of a model -> what it is to the surrogates, see `relations.relation`.
            sizes: See `tables.build_tables`.
        """
        tables = build_tables(scores, regimes, relations, sizes=sizes)
        for name, frame in tables.items():
            write_csv(frame, folder / f"{name}.csv")
        if self.plot:
            self._write_plots(tables, folder)
        limits = {"min_images": self.min_images, "max_rows_per_kind": self.max_rows_per_kind}
        return terminal_tables(tables, costs, **limits)

    def _write_plots(self, tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
        rows = tables["per_nuisance"]
        for position, (model, of_model) in enumerate(rows.groupby("model", sort=False)):
            name = "per_nuisance.png" if position == 0 else f"per_nuisance_{model}.png"
            image = nuisance_plot(
                of_model, min_images=self.min_images, max_rows_per_kind=self.max_rows_per_kind
            )
            write_bytes_atomic(folder / name, image)
