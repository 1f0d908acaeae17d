"""Stage 7: tables, `summary.json`, and the run's record in W&B."""

import functools
import importlib.metadata
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from imagenetd.records import LabelSpace, Score, StageResult
from imagenetd.reports.evidence import Evidence, ReportResult
from imagenetd.reports.regimes import data_view, regimes_view
from imagenetd.reports.report import ReportSet
from imagenetd.reports.run_folder import HTML_FILE
from imagenetd.reports.tables import build_tables, cost, write_csv
from imagenetd.reports.terminal import findings_view
from imagenetd.reports.trackers.run_report import FailureCard, RunReport
from imagenetd.reports.trackers.tracked import artifacts, confusions, curves
from imagenetd.scoring.metrics import ALL
from imagenetd.scoring.statistics.intervals import THESE_CATEGORIES, wilson_interval
from imagenetd.stages.evidence import BASELINE_TABLE
from imagenetd.stages.facts import RunFacts
from imagenetd.stages.record import read_regimes, regime_summary, write_plain_files
from imagenetd.stages.reporting import report_summaries, run_reports
from imagenetd.stages.shown_again import keep_shown, made_from, run_files, shown_before
from imagenetd.store.folders import (
    StageFolder,
    file_seal,
    make_folder,
    write_record,
    write_text_atomic,
)
from imagenetd.store.versions import library_versions

"""In the run folder."""


def write_report(
    folder: StageFolder,
    facts: RunFacts,
    scores: Sequence[Score],
    *,
    chosen: ReportSet,
    evidence: Callable[[], Evidence],
    logger: Any,
    cards: Callable[[], list[FailureCard]],
    picture: Callable[[int], Any],
    show: Callable[[Any], None],
) -> tuple[StageResult, str | None]:
    """Write the tables and `summary.json` into the run folder, log the run, and show the tables.

    Returns:
        The stage's result, and the line that uploads an offline W&B run, if there is one.
    """
    started = time.perf_counter()
    make_folder(folder.path)
    with folder.locked():
        record = folder.done()
        skipped = record is not None and (folder.path / "summary.json").is_file()
        name = type(logger).__name__
        plugins = [*chosen.reports.values(), *filter(None, (chosen.tables, chosen.html))]
        source = made_from(facts, plugins)
        again = shown_before(folder.path, record, source) if name in (record or {}).get("logs", {}) else None
        if record is not None and again is not None and not _reads_elsewhere(chosen):
            show(again)
            return _result(folder, chosen, len(scores), record["seconds"], True), record["logs"][name]
        seconds = {stage.stage: stage.seconds for stage in facts.stages}
        shown, own = _own_tables(folder.path, facts, scores, seconds, chosen)
        given = functools.cache(evidence)
        results = run_reports(chosen.reports, given, folder.path / "tables")
        summary = summarise(facts, scores, seconds) | own | {"reports": report_summaries(results)}
        write_record(folder.path / "summary.json", summary)
        page = folder.path / HTML_FILE
        if chosen.html is not None and not (skipped and page.is_file()):
            write_text_atomic(page, chosen.html.page(summary, given(), results, picture))
        logs: dict[str, str | None] = dict((record or {}).get("logs", {}))
        if name not in logs:
            run = _run_report(folder.key, facts, scores, summary, cards())
            level = getattr(logger, "artifacts", "none")
            logs[name] = logger.log_run(
                _tracked(run, facts, results, given(), folder.path, level), folder.path
            )
        record = {"logs": logs, "seconds": (record or {}).get("seconds", time.perf_counter() - started)}
        table = folder.path / BASELINE_TABLE  # another run may read it back
        shown += findings_view(results)
        keep_shown(folder.path, shown)
        kept = {"made_from": source, "files": run_files(folder.path)}
        baseline = {"baseline": file_seal(table)} if table.is_file() else {}
        folder.finish({**record, "shown": kept, **baseline})
    for renderable in shown:
        show(renderable)
    return _result(folder, chosen, len(scores), record["seconds"], skipped), logs[name]


def _reads_elsewhere(chosen: ReportSet) -> bool:
    """Tell whether reports read what no key of this run knows: other models of the pool, another run's folder."""
    return chosen.models == "all" or chosen.baseline is not None


def _result(
    folder: StageFolder, chosen: ReportSet, num_scores: int, seconds: float, is_skipped: bool
) -> StageResult:
    note = HTML_FILE if chosen.html is not None else ""
    return StageResult(
        stage="report",
        key=folder.key,
        folder=str(folder.path),
        num_items=num_scores,
        unit="scores",
        seconds=seconds,
        is_skipped=is_skipped,
        note=note,
    )


def _own_tables(
    folder: Path, facts: RunFacts, scores: Sequence[Score], seconds: dict[str, float], chosen: ReportSet
) -> tuple[list[Any], dict[str, Any]]:
    """Write the tables and plain files of every run; return what the terminal shows, and their part of the summary."""
    shown: list[Any] = []
    if chosen.tables is not None:
        numbers: dict[str, Any] = {
            "seconds": seconds,
            "num_images": facts.num_images,
            "regimes": facts.regimes,
            "relations": facts.relations,
        }
        shown += chosen.tables.write(scores, folder / "tables", **numbers)
    write_plain_files(folder, facts.evaluate, facts.left_out)
    regimes = read_regimes(facts.evaluate)
    tables, sentences = facts.findings()
    for name, table in tables.items():
        write_csv(table, folder / "tables" / f"{name}.csv")
    shown += [*regimes_view(regimes), *data_view(facts.data, sentences)]
    return shown, {"regimes": regime_summary(regimes), "data": facts.data, "findings": sentences}


def summarise(facts: RunFacts, scores: Sequence[Score], seconds: dict[str, float]) -> dict[str, Any]:
    """Return the content of `summary.json`."""
    pool = facts.num_images["pool"]
    mined, accepted = facts.num_images.get("mined"), facts.num_images.get("accepted")  # None in an evaluation
    of_role = {
        role: [n for n, (r, _) in facts.models.items() if r == role]
        for role in ("surrogate", "target", "gate")
    }
    return {
        "version": importlib.metadata.version("imagenetd"),
        "name": facts.name,
        "status": facts.status,
        "images": pool,
        "mined": mined,
        "accepted": accepted,
        "targets": {name: _target_summary(name, scores) for name in of_role["target"]},
        "num_images": facts.num_images,
        "surrogates": of_role["surrogate"],
        "target": of_role["target"][0],
        "gate": of_role["gate"][0] if of_role["gate"] else None,
        "mining": {"min_failures": facts.min_failures, "num_surrogates": len(of_role["surrogate"])},
        "models": {
            name: _model_summary(name, *part, scores, facts.relations.get(name, part[0]))
            for name, part in facts.models.items()
        },
        "yield": _part("mined", mined, pool) | _part("accepted", accepted, mined),
        "intervals_for": THESE_CATEGORIES,
        "qc": facts.qc,
        "seconds": seconds,
        "cost": cost(seconds, facts.num_images),
        "keys": {stage.stage: stage.key for stage in facts.stages},
        "folders": {stage.stage: stage.folder for stage in facts.stages},
        "generator": facts.generator_key,
        "seed": facts.seed,
        "overrides": list(facts.overrides),
        "config": facts.config,
        "versions": library_versions(),
    }


def _part(name: str, part: int | None, whole: int | None) -> dict[str, float | None]:
    """Return the share of one set in another with the ends of its Wilson interval."""
    if not whole or part is None:
        return {name: None}
    low, high = wilson_interval(part, whole)
    return {name: part / whole, f"{name}_low": float(low), f"{name}_high": float(high)}


def _model_summary(
    name: str, role: str, space: LabelSpace, scores: Sequence[Score], relation: str
) -> dict[str, Any]:
    totals = {s.set: s for s in scores if s.model == name and s.kind == ALL and s.nuisance == ALL}
    numbers = ("accuracy", "num_images", "num_correct", "wilson_low", "wilson_high")
    return {
        "role": role,
        "relation": relation,
        "regime": space.regime,
        "chance": space.chance,
        "accuracy": {
            set_: {number: _or_none(asdict(score)[number]) for number in numbers}
            for set_, score in totals.items()
        },
    }


def _target_summary(name: str, scores: Sequence[Score]) -> dict[str, dict[str, float | int | None]]:
    """Return accuracy, n and the ends of the Wilson interval of a target on each set."""
    totals = [s for s in scores if s.model == name and s.kind == ALL and s.nuisance == ALL]
    return {
        score.set: {
            "accuracy": _or_none(score.accuracy),
            "n": score.num_images,
            "low": score.wilson_low,
            "high": score.wilson_high,
        }
        for score in totals
    }


def _or_none(value: float) -> float | None:
    return None if value != value else value  # JSON has no NaN


def _run_report(
    key: str, facts: RunFacts, scores: Sequence[Score], summary: dict[str, Any], cards: list[FailureCard]
) -> RunReport:
    flat: dict[str, float | int | str] = {
        f"num_images/{name}": count for name, count in facts.num_images.items()
    }
    for model, entry in summary["models"].items():
        for set_, numbers in entry["accuracy"].items():
            if numbers["accuracy"] is not None:
                flat[f"accuracy/{model}/{set_}"] = numbers["accuracy"]
                flat[f"accuracy/{model}/{set_}_low"] = numbers["wilson_low"]
                flat[f"accuracy/{model}/{set_}_high"] = numbers["wilson_high"]
                flat[f"accuracy/{model}/{set_}_num_images"] = numbers["num_images"]
    flat["intervals_for"] = summary["intervals_for"]
    flat |= {f"yield/{name}": share for name, share in summary["yield"].items() if share is not None}
    numbers = ((name, value) for name, value in facts.qc.items() if isinstance(value, int | float))
    flat |= {f"qc/{name}": value for name, value in numbers}
    flat |= {f"cost/{name}": value for name, value in summary["cost"].items() if value is not None}
    flat |= {f"seconds/{name}": value for name, value in summary["seconds"].items()}
    tables: dict[str, pd.DataFrame] = build_tables(scores, facts.regimes, facts.relations)
    lineage = {"keys": summary["keys"], "versions": summary["versions"], "surrogates": summary["surrogates"]}
    return RunReport(
        key=key,
        name=facts.name,
        group=f"pool-{summary['keys'].get('generate', summary['keys'].get('data', ''))[:8]}",
        job_type="evaluate",
        tags=(summary["target"], f"{len(summary['surrogates'])} surrogates"),
        config={**facts.config, "lineage": lineage, "target_name": summary["target"]},
        summary=flat,
        tables=tables,
        failures=tuple(cards),
    )


def _tracked(
    run: RunReport,
    facts: RunFacts,
    results: Sequence[ReportResult],
    evidence: Evidence,
    run_dir: Path,
    level: str,
) -> RunReport:
    """Return the run with all tables of its reports, confusions, curves and artifacts."""
    made = artifacts(facts.stages, list(facts.models), run_dir, level=level)
    tables = {f"{result.name}/{name}": table for result in results for name, table in result.tables.items()}
    return replace(
        run,
        tables=run.tables | tables,
        confusions=confusions(evidence),
        curves=curves(evidence),
        artifacts=made,
        config={**run.config, "artifacts": [artifact.name for artifact in made]},
    )
