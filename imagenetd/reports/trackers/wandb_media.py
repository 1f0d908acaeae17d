"""Tables, images, charts and artifacts in the types of W&B."""

from typing import Any

import pandas as pd

from imagenetd.reports.trackers.run_report import Artifact, FailureCard, RunReport

MAX_ROWS = 200_000
"""W&B refuses larger tables."""


def logged_media(
    wandb: Any, run: RunReport, *, max_failures: int, max_rows: int = MAX_ROWS
) -> dict[str, object]:
    """Return everything that is logged once: tables, failures, confusions and curves.

    A table above W&B's limit is logged in parts, `<name>_part1`, `<name>_part2`, ...
    """
    logged: dict[str, object] = {}
    for name, frame in run.tables.items():
        parts = range(0, max(1, len(frame)), max_rows)
        for number, first in enumerate(parts, start=1):
            part = f"tables/{name}" + (f"_part{number}" if len(parts) > 1 else "")
            logged[part] = _table(wandb, frame.iloc[first : first + max_rows])
    if cards := run.failures[:max_failures]:
        logged["failures/table"] = _failure_table(wandb, cards)
        logged["failures/grid"] = [wandb.Image(card.image, caption=card.caption) for card in cards]
    for confusion in run.confusions:
        logged[confusion.name] = wandb.plot.confusion_matrix(
            y_true=list(confusion.actual),
            preds=list(confusion.predicted),
            class_names=list(confusion.classes),
            title=confusion.title,
        )
    for curve in run.curves:
        logged[curve.name] = wandb.plot.line_series(
            xs=list(curve.xs),
            ys=[list(line) for line in curve.lines.values()],
            keys=list(curve.lines),
            title=curve.title,
            xname=curve.x_label,
        )
    return logged


def wandb_artifact(wandb: Any, artifact: Artifact) -> Any:
    """Return an artifact with its files; offline `use_artifact` fails, so the lineage stands in its metadata."""
    made = wandb.Artifact(artifact.name, type=artifact.type, metadata={"lineage": artifact.lineage})
    for name, path in artifact.files.items():
        is_final = path.suffix == ".tar" or path.name.startswith("part-")
        # What never changes is not copied; the rest is, since a later start may write it anew before the sync.
        made.add_file(str(path), name=name, policy="immutable" if is_final else "mutable")
    return made


def _table(wandb: Any, frame: pd.DataFrame) -> Any:
    """Return a W&B table; what is absent (NaN) is null."""
    rows = frame.astype(object)
    return wandb.Table(columns=list(frame.columns), data=rows.where(rows.notna(), None).values.tolist())


def _failure_table(wandb: Any, cards: tuple[FailureCard, ...]) -> Any:
    models = list(dict.fromkeys(model for card in cards for model in card.predictions))
    columns = ["image", "prompt", "category", "kind", "nuisance", *models, "image_id"]
    data = [
        [
            wandb.Image(card.image, caption=card.caption),
            *(card.prompt, card.category, card.kind, card.nuisance),
            *(card.predictions.get(model) for model in models),
            card.image_id,
        ]
        for card in cards
    ]
    return wandb.Table(columns=columns, data=data)
