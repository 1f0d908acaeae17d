"""The datasheet of an export: what it holds, how it was made, what the numbers are, what it may be used for."""

import math
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from imagenetd import ASSETS_DIR
from imagenetd.models.relations import relation
from imagenetd.records import Kind, Score
from imagenetd.reports.evidence import ModelEvidence
from imagenetd.reports.exports.benchmark import COLUMNS, Benchmark
from imagenetd.scoring.counts import ALL
from imagenetd.store.escaping import for_markdown, for_markdown_code
from imagenetd.store.numerals import percent_interval

TEMPLATE = ASSETS_DIR / "exports" / "datasheet.md.j2"
SETS = ("pool", "pool_accepted", "mined", "accepted")
MAKERS = {
    "diffusers": "A diffusion model",
    "render": "A procedural renderer (no diffusion model)",
    "folder": "Somebody",
}
SELECTIONS = {
    "accepted": "{k} of {n} known models are wrong on every one, and quality control accepted it",
    "mined": "{k} of {n} known models are wrong on every one; quality control has not been applied",
    "easy": "none of {n} known models is wrong on any: these are the easy by-product, no benchmark",
    "not_mined": "at least one of {n} known models is right on each: these are no benchmark",
    "pool": "all that were generated are here, hard or not",
    "pool_accepted": "all that the gate accepts are here, hard or not",
}


def datasheet(benchmark: Benchmark, *, licence: str, usage: str, files: Mapping[str, str]) -> str:
    """Return the datasheet as Markdown.

    Args:
        benchmark: What is exported.
        licence: Of the images.
        usage: Command that reads the export.
        files: Name of each file of the export -> what it holds.
    """
    import jinja2

    made = benchmark.provenance
    surrogates = [model.name for model in benchmark.models if model.role == "surrogate"]
    sets = [name for name in SETS if any(score.set == name for score in benchmark.scores)]
    nuisances = benchmark.images[benchmark.images["kind"] != Kind.NEUTRAL]
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False, finalize=_escaped
    )
    environment.filters["code"] = lambda text: Markup(for_markdown_code(text))
    return environment.from_string(TEMPLATE.read_text()).render(
        title=benchmark.title,
        count=len(benchmark.images),
        num_categories=len(benchmark.categories),
        num_nuisances=len(nuisances[["kind", "nuisance"]].drop_duplicates()),
        maker=MAKERS.get(str(made.generator.get("generator")), "A generator"),
        selection=SELECTIONS[benchmark.set].format(k=made.min_failures, n=len(surrogates)),
        composition=_composition(benchmark),
        files=files,
        columns=COLUMNS,
        generator=_listed(made.generator),
        min_failures=made.min_failures,
        surrogates=surrogates,
        qc=_listed(made.qc),
        num_images=made.num_images,
        overrides=made.overrides,
        versions=_listed(made.versions),
        keys=_listed(made.keys),
        sets=sets,
        numbers=[
            {
                "model": model.name,
                "role": _part(model, benchmark),
                "cells": _cells(model.name, benchmark, sets),
            }
            for model in benchmark.models
        ],
        usage=Markup(usage),
        licence=licence,
    )


def _escaped(value: Any) -> str:
    """Return what stands in the Markdown for a value: names come from vocabularies, folders and models of others."""
    return str(value) if isinstance(value, Markup) else for_markdown(value)


def _part(model: ModelEvidence, benchmark: Benchmark) -> str:
    """Return a model's role, of a target also what it is to the surrogates."""
    surrogates = [other.origin for other in benchmark.models if other.role == "surrogate"]
    found = relation(model.role, model.origin, surrogates)
    return model.role if found == model.role else f"{model.role}: {found}"


def _composition(benchmark: Benchmark) -> list[dict[str, object]]:
    rows = []
    for kind, images in benchmark.images.groupby("kind", sort=False):
        counts = {name: images[name].nunique() for name in ("category", "nuisance")}
        nuisances = 0 if kind == Kind.NEUTRAL else counts["nuisance"]
        rows.append(
            {"kind": kind, "images": len(images), "categories": counts["category"], "nuisances": nuisances}
        )
    return rows


def _listed(values: Mapping[str, object]) -> str:
    """Return `name value` pairs in one line; what is long or absent is left out."""
    shown = {name: str(value) for name, value in values.items() if value not in (None, "", [])}
    return ", ".join(f"{name} {value}" for name, value in shown.items() if len(value) <= 64)


def _cells(model: str, benchmark: Benchmark, sets: list[str]) -> list[Markup]:
    totals: dict[str, Score] = {
        score.set: score
        for score in benchmark.scores
        if score.model == model and score.kind == ALL and score.nuisance == ALL
    }
    return [Markup(_cell(totals[name])) for name in sets]


def _cell(score: Score) -> str:
    if math.isnan(score.accuracy):
        return "-"
    return f"{100 * score.accuracy:.1f} {percent_interval(score.wilson_low, score.wilson_high)} {score.num_images}"
