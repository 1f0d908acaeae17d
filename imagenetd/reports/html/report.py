"""The HTML report of a run."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from PIL import Image

from imagenetd.config.ranges import AnyCount, Range
from imagenetd.reports.evidence import Evidence, ReportResult
from imagenetd.reports.html.document import CardModel, Page, render_page, table_values
from imagenetd.reports.html.figures import run_figures
from imagenetd.reports.html.gallery import cards
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES, wilson_interval
from imagenetd.store.numerals import counted, percent_interval

MAX_TILES = 3
"""Targets whose accuracy stands at the top of the page; the figures and tables have all."""


@dataclass(frozen=True, slots=True)
class HtmlReport:
    """Writes `report.html`: plots, tables and a gallery of failures in one file that needs no network."""

    max_failures: Annotated[int, Range(0, 100_000)] = 200
    """Pictures in the gallery; they make up most of the file's size."""
    thumbnail_px: Annotated[int, Range(1, 4096)] = 256
    """Longest side of a picture."""
    max_table_rows: Annotated[int, Range(0, 1_000_000)] = 500
    """Rows of a table that the page holds; the CSV files hold all."""
    min_images: AnyCount = 5
    """Slices with fewer images are drawn hollow or left out."""

    def page(
        self,
        summary: Mapping[str, Any],
        evidence: Evidence,
        results: Sequence[ReportResult],
        read_image: Callable[[int], Image.Image],
    ) -> str:
        """Return the page of one run.

        Args:
            summary: Content of `summary.json`.
            evidence: Answers of all models.
            results: Of the reports of the run.
            read_image: Gives the image at a position of the pool.
        """
        tables = [
            table_values(
                name,
                result.name,
                frame,
                max_rows=self.max_table_rows,
                file=f"tables/{result.name}/{name}.csv",
            )
            for result in results
            for name, frame in result.tables.items()
        ]
        made = Page(
            title=str(summary["name"]),
            lead=_lead(summary),
            tiles=_tiles(summary),
            findings=[result.findings[0] for result in results if result.findings],
            more_findings=[finding for result in results for finding in result.findings[1:]],
            figures=run_figures(evidence, results, min_images=self.min_images),
            tables=tables,
            cards=cards(evidence, read_image, count=self.max_failures, thumbnail_px=self.thumbnail_px),
            models=[
                CardModel(m.name, m.role, evidence.relation(m)) for m in evidence.models if m.role != "gate"
            ],
            facts=_facts(summary),
        )
        return render_page(made)


def _lead(summary: Mapping[str, Any]) -> str:
    mining, counts = summary["mining"], summary["num_images"]
    if not counts.get("mined"):
        return f"{counts['pool']:,} images. {_models(summary)}."
    judged = f" {counts['accepted']:,} of them pass quality control." if "accepted" in counts else ""
    return (
        f"{counts['pool']:,} generated images. {counts['mined']:,} are hard: {mining['min_failures']} of "
        f"{mining['num_surrogates']} known models get them wrong.{judged} {_models(summary)}."
    )


def _models(summary: Mapping[str, Any]) -> str:
    names = list(summary["targets"])
    known = [(name, summary["models"][name].get("relation", "")) for name in names]
    named = [name if relation in ("", "target") else f"{name} ({relation})" for name, relation in known]
    return f"Target{'' if len(names) == 1 else 's'}: {', '.join(named)}"


def _tiles(summary: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    counts = summary["num_images"]
    found = [("images", f"{counts['pool']:,}", "all that were judged")]
    wholes = (
        ("mined", "hard images", "pool", "of the pool"),
        ("accepted", "accepted", "mined", "of the hard"),
    )
    for part, label, whole, of in wholes:
        if counts.get(part) is not None:
            found.append((label, f"{counts[part]:,}", _share(counts[part], counts[whole], of)))
    for target in list(summary["targets"])[:MAX_TILES]:
        accuracy = summary["models"][target]["accuracy"]
        start = "pool_accepted" if "pool_accepted" in accuracy else "pool"
        for name, label in ((start, "all images"), ("accepted", "hard images")):
            numbers = accuracy.get(name) or {}
            if numbers.get("accuracy") is not None:
                ends = percent_interval(numbers["wilson_low"], numbers["wilson_high"])
                text = f"{100 * numbers['accuracy']:.1f}%"
                note = f"accuracy {ends} of {counted(numbers['num_images'], 'image')}, {THESE_CATEGORIES}"
                found.append((f"{target}, {label}", text, note))
    return found


def _share(part: int, whole: int, of: str) -> str:
    if not whole:
        return f"none {of}"
    ends = percent_interval(*(float(end) for end in wilson_interval(part, whole)))
    return f"{100 * part / whole:.1f}% {ends} {of}, {THESE_CATEGORIES}"


def _facts(summary: Mapping[str, Any]) -> dict[str, str]:
    """Return how the run was made, as texts."""
    joined = {
        "command": " ".join(["python run.py", *summary["overrides"]]),
        "seed": str(summary["seed"]),
        "generator": str(summary["generator"]),
        "keys": "\n".join(f"{name} {key}" for name, key in summary["keys"].items()),
        "seconds": "\n".join(f"{name} {value:.1f}" for name, value in summary["seconds"].items()),
        "versions": "\n".join(f"{name} {version}" for name, version in summary["versions"].items()),
    }
    return joined | {"config": json.dumps(summary["config"], indent=1, ensure_ascii=False, default=str)}
