"""Stage 7: tables, `summary.json`, the page, and the run's record in W&B."""

import importlib.metadata
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import RenderableType

from imagenetd.config.schema import build
from imagenetd.records import Score, StageResult
from imagenetd.reports.coverage import with_coverage
from imagenetd.reports.evidence import Evidence, ReportResult
from imagenetd.reports.regimes import data_view, regimes_view
from imagenetd.reports.report_set import ReportSet, build_reports
from imagenetd.reports.run_folder import HTML_FILE
from imagenetd.reports.summary import (
    MiningSummary,
    RegimeTotals,
    RunSummary,
    model_summary,
    report_summaries,
    target_scores,
    yields,
)
from imagenetd.reports.tables import build_tables, cost, write_csv
from imagenetd.reports.terminal import findings_view
from imagenetd.reports.trackers.run_report import FailureCard, RunReport, flat_numbers
from imagenetd.reports.trackers.tracked import artifacts, confusions, curves
from imagenetd.reports.wording import with_wording
from imagenetd.scoring.image_record import class_titles
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES
from imagenetd.stages.gathering import BASELINE_TABLE
from imagenetd.stages.record import (
    own_accuracies,
    read_record,
    read_regimes,
    regime_summary,
    write_plain_files,
)
from imagenetd.stages.run import SCORED_ROLES, Run
from imagenetd.stages.shown_again import keep_shown, made_from, run_files, shown_before
from imagenetd.stages.stored import read_qc_summary, read_scores
from imagenetd.store.console import console
from imagenetd.store.folders import content_key, file_seal, write_record, write_text_atomic
from imagenetd.store.versions import library_versions

SUMMARY_FILE = "summary.json"
NUM_FAILURE_CARDS = 48
"""Mined images that are logged with prompt and predictions."""


def report(run: Run) -> StageResult:
    """Write the tables and `summary.json` into the run folder, log the run, and show the tables.

    Reports are computed anew at each start, unless nothing has changed: their code is no part of any key.
    """
    started, folder, config = time.perf_counter(), run.setup.folders["report"], run.setup.config
    chosen = with_coverage(build_reports(config.report), list(run.spaces.values()))
    chosen = with_wording(chosen, run.pool.table)
    scores = read_scores(run.setup.folders["evaluate"].path)
    logger = build(config.logger, option="logger")
    name = type(logger).__name__
    with folder.locked():
        record = folder.done()
        skipped = record is not None and (folder.path / SUMMARY_FILE).is_file()
        logs: dict[str, str | None] = dict((record or {}).get("logs", {}))
        source = made_from(run, [*chosen.reports.values(), *filter(None, (chosen.tables, chosen.html))])
        again = shown_before(folder.path, record, source) if name in logs else None
        if record is not None and again is not None and not _reads_elsewhere(chosen):
            shown: list[RenderableType] = [again]
            skipped = True
        else:
            made = _write(run, chosen, scores, keeps_page=skipped)
            shown = made.shown
            if name not in logs:
                level = getattr(logger, "artifacts", "none")
                logs[name] = logger.log_run(_run_report(run, made, scores, level=level), folder.path)
            seconds = (record or {}).get("seconds", time.perf_counter() - started)
            record = {"logs": logs, "seconds": seconds}
            keep_shown(folder.path, shown)
            kept = {"made_from": source, "files": run_files(folder.path)}
            table = folder.path / BASELINE_TABLE  # another run may read it back
            baseline = {"baseline": file_seal(table)} if table.is_file() else {}
            folder.finish({**record, "shown": kept, **baseline})
    for renderable in shown:
        console().print(renderable)
    return StageResult(
        stage="report",
        key=folder.key,
        folder=str(folder.path),
        num_items=len(scores),
        unit="scores",
        seconds=record["seconds"],
        is_skipped=skipped,
        note=HTML_FILE if chosen.html is not None else "",
        last_word=logs[name] or "",
    )


@dataclass(frozen=True)
class _Made:
    """What the reports of a run were made of, and what they say."""

    shown: list[RenderableType]
    evidence: Evidence
    results: list[ReportResult]
    summary: RunSummary


def _reads_elsewhere(chosen: ReportSet) -> bool:
    """Tell whether reports read what no key of this run knows: other models of the pool, another run's folder."""
    return chosen.models == "all" or chosen.baseline is not None


def _write(run: Run, chosen: ReportSet, scores: Sequence[Score], *, keeps_page: bool) -> _Made:
    """Write all tables, `summary.json` and the page; an existing page may be kept."""
    folder, setup = run.setup.folders["report"].path, run.setup
    seconds, num_images = {result.stage: result.seconds for result in run.results}, run.num_images()
    shown: list[RenderableType] = []
    if chosen.tables is not None:
        shown += chosen.tables.write(
            scores,
            folder / "tables",
            costs=cost(seconds, num_images),
            regimes=_regimes(run),
            relations=run.relations(),
            sizes=run.sizes(),
        )
    write_plain_files(folder, setup.folders["evaluate"].path, run.all_images.left_out())
    regimes = read_regimes(setup.folders["evaluate"].path)
    sentences = _findings(run, folder / "tables")
    shown += [*regimes_view(regimes), *data_view(run.all_images.facts(), sentences)]
    evidence = run.evidence(models=chosen.models, baseline=chosen.baseline)
    results = [one.report(evidence) for one in chosen.reports.values()]
    for result in results:
        for name, table in result.tables.items():
            write_csv(table, folder / "tables" / result.name / f"{name}.csv")
    summary = _summary(run, scores, results, regimes=regime_summary(regimes), findings=sentences)
    write_record(folder / SUMMARY_FILE, summary.as_json())
    page = folder / HTML_FILE
    if chosen.html is not None and not (keeps_page and page.is_file()):
        text = chosen.html.page(summary.as_json(), evidence, results, run.pool.read_image)
        write_text_atomic(page, text)
    return _Made([*shown, *findings_view(results)], evidence, results, summary)


def _summary(
    run: Run,
    scores: Sequence[Score],
    results: Sequence[ReportResult],
    *,
    regimes: Mapping[str, Mapping[str, RegimeTotals]],
    findings: Sequence[str],
) -> RunSummary:
    setup, num_images, relations = run.setup, run.num_images(), run.relations()
    seconds = {result.stage: result.seconds for result in run.results}
    of_role = {role: [model.name for model in setup.of_role(role)] for role in SCORED_ROLES}
    of_model = {name: [score for score in scores if score.model == name] for name in run.spaces}
    return RunSummary(
        version=importlib.metadata.version("imagenetd"),
        name=setup.config.name,
        status="done",
        images=num_images["pool"],
        mined=num_images.get("mined"),
        accepted=num_images.get("accepted"),
        targets={name: target_scores(of_model[name]) for name in of_role["target"]},
        num_images=num_images,
        surrogates=of_role["surrogate"],
        target=of_role["target"][0],
        gate=next(iter(of_role["gate"]), None),
        mining=MiningSummary(setup.min_failures, len(of_role["surrogate"])),
        models={
            model.name: model_summary(
                of_model[model.name], run.space(model), role=model.role, relation=relations[model.name]
            )
            for model in setup.of_role(*SCORED_ROLES)
        },
        yields=yields(num_images),
        intervals_for=THESE_CATEGORIES,
        qc=read_qc_summary(setup.folders["qc"]),
        seconds=seconds,
        cost=cost(seconds, num_images),
        keys={result.stage: result.key for result in run.results},
        folders={result.stage: result.folder for result in run.results},
        generator=content_key(setup.images.identity),
        seed=setup.config.seed,
        overrides=list(run.overrides),
        config=run.plain_config,
        versions=library_versions(),
        regimes=regimes,
        data=run.all_images.facts(),
        findings=findings,
        reports=report_summaries(results),
    )


def _regimes(run: Run) -> dict[str, tuple[str, float]]:
    """Return the regime and the chance level of each model that stands in tables."""
    models = run.setup.of_role(*SCORED_ROLES)
    return {model.name: (run.space(model).regime, run.space(model).chance) for model in models}


def _findings(run: Run, tables: Path) -> list[str]:
    """Write the tables that a dataset itself defines, e.g. mCE; return its sentences, and remarks on the models.

    Remarks tell of classes that can never win, and of ties at the top.
    """
    regimes = {model.name: run.space(model).regime for model in run.setup.of_role("target")}
    record = read_record(run.setup.folders["evaluate"].path)
    found, sentences = run.all_images.findings(own_accuracies(record, regimes))
    for name, table in found.items():
        write_csv(table, tables / f"{name}.csv")
    records = [run.setup.folders[model.name].done() or {} for model in run.setup.models]
    return [*sentences, *(remark for record in records for remark in record.get("remarks", []))]


def _run_report(run: Run, made: _Made, scores: Sequence[Score], *, level: str) -> RunReport:
    """Return what a logger gets: all numbers and tables, confusions, curves, cards and artifacts."""
    summary, setup = made.summary, run.setup
    models = [model.name for model in setup.of_role(*SCORED_ROLES)]
    files = artifacts(run.results, models, setup.folders["report"].path, level=level)
    tables = build_tables(scores, _regimes(run), run.relations(), sizes=run.sizes())
    tables |= {
        f"{result.name}/{name}": table for result in made.results for name, table in result.tables.items()
    }
    lineage: dict[str, Any] = {
        "keys": summary.keys,
        "versions": summary.versions,
        "surrogates": summary.surrogates,
    }
    return RunReport(
        key=setup.folders["report"].key,
        name=summary.name,
        group=f"pool-{summary.keys.get('generate', summary.keys.get('data', ''))[:8]}",
        job_type="evaluate",
        tags=(summary.target, f"{len(summary.surrogates)} surrogates"),
        config={
            **run.plain_config,
            "lineage": lineage,
            "target_name": summary.target,
            "artifacts": [artifact.name for artifact in files],
        },
        summary=flat_numbers(summary),
        tables=tables,
        failures=tuple(_cards(run)),
        confusions=confusions(made.evidence),
        curves=curves(made.evidence),
        artifacts=files,
    )


def _cards(run: Run) -> list[FailureCard]:
    """Return some of the accepted failures, spread evenly over the pool; in an evaluation, of the target's."""
    if run.setup.mines:
        indices = np.flatnonzero(run.sets.get("accepted", run.sets["mined"]))
    else:
        indices = np.flatnonzero(run.wrong(run.setup.of_role("target")).any(axis=0))
    if len(indices) > NUM_FAILURE_CARDS:
        indices = indices[np.linspace(0, len(indices) - 1, NUM_FAILURE_CARDS).astype(int)]
    shown = run.setup.of_role("surrogate", "target")
    titles = {model.name: class_titles(run.space(model)) for model in shown}
    named = {model.name: run.answers(model).predicted[indices].tolist() for model in shown}
    table = run.pool.table
    return [
        FailureCard(
            image_id=table["image_id"].iloc[index],
            image=run.pool.read_image(index),
            prompt=table["text"].iloc[index],
            category=table["category"].iloc[index],
            kind=table["kind"].iloc[index],
            nuisance=table["nuisance"].iloc[index],
            predictions={name: titles[name][classes[number]] for name, classes in named.items()},
        )
        for number, index in enumerate(indices.tolist())
    ]
