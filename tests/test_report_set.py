"""The set of reports: its yaml files, what they write, and what they say when something is wrong."""

import inspect
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf

from imagenetd.config.schema import CONF_DIR, register
from imagenetd.errors import ConfigError, DamagedError, StoreError
from imagenetd.pipeline import Outcome
from imagenetd.reports.evidence import Evidence, ReportResult
from imagenetd.reports.report_set import Report, build_reports
from imagenetd.reports.summary import report_summaries
from imagenetd.reports.tables_report import TablesReport
from imagenetd.scoring.predictions import read_answers
from imagenetd.stages.run import Run
from imagenetd.stages.setup import make_setup
from imagenetd.store.folders import OF, write_table_atomic
from tests.simulated import evidence, grid, model
from tests.stored_logits import read_logits
from tests.test_pipeline import FAKE, config, run, summary

register()
REPORTS = sorted(path.stem for path in (CONF_DIR / "report").glob("*.yaml"))
SETS = [name for name in REPORTS if "_target_" not in (CONF_DIR / "report" / f"{name}.yaml").read_text()]


def composed(*overrides: str) -> Any:
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return OmegaConf.to_container(compose("config", overrides=list(overrides)).report, resolve=True)


@pytest.mark.parametrize("choice", [name for name in REPORTS if name not in SETS])
def test_a_report_yaml_names_every_argument_of_its_class(choice: str) -> None:
    spec = composed(f"report={choice}")
    factory = get_object(spec.pop("_target_"))
    assert set(spec) == set(inspect.signature(factory).parameters)
    factory(**spec)


@pytest.mark.parametrize("choice", REPORTS)
def test_a_report_yaml_opens_with_a_sentence(choice: str) -> None:
    first = (CONF_DIR / "report" / f"{choice}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ") and first.endswith(".")


@pytest.mark.parametrize("choice", REPORTS)
def test_every_choice_builds(choice: str) -> None:
    spec = composed(f"report={choice}")
    chosen = build_reports({name: "given" if value == "???" else value for name, value in spec.items()})
    assert chosen.tables or chosen.reports or chosen.html


def test_the_reports_of_a_set_stand_under_their_own_names() -> None:
    chosen = build_reports(composed("report=standard"))
    assert [report.name for report in chosen.reports.values()] == list(chosen.reports)
    assert isinstance(chosen.tables, TablesReport) and all(
        isinstance(r, Report) for r in chosen.reports.values()
    )


def test_one_report_stands_beside_the_tables_of_the_run() -> None:
    chosen = build_reports(composed("report=accuracy"))
    assert (chosen.tables, list(chosen.reports), chosen.html) == (TablesReport(), ["accuracy"], None)
    page = build_reports(composed("report=html"))
    assert page.tables == TablesReport() and page.html is not None and not page.reports


def test_an_option_reaches_its_report() -> None:
    chosen = build_reports(composed("report.plot=false", "report.reports.accuracy.min_images=9"))
    assert chosen.tables is not None and chosen.tables.plot is False
    assert chosen.reports["accuracy"].min_images == 9  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"models": "some"}, "report.models=some"),
        ({"baseline": 3}, "report.baseline=3 is no path"),
        ({"reports": ["accuracy"]}, "is no set of reports"),
        ({"reports": {"a": {"_target_": "imagenetd.reports.trackers.csv_logger.NoLogger"}}}, "not a Report"),
    ],
)
def test_a_wrong_option_is_told(spec: dict[str, Any], message: str) -> None:
    tables = {"_target_": "imagenetd.reports.tables_report.TablesReport"}
    with pytest.raises(ConfigError, match=message):
        build_reports(tables | spec)


def test_a_misspelt_option_is_told_before_any_work(tmp_path: Path) -> None:
    made = config(tmp_path)
    made.report["reports"]["accuracy"]["min_imgaes"] = 3
    with pytest.raises(ConfigError, match=r"did you mean report.reports.accuracy.min_images"):
        make_setup(made)
    assert not any(tmp_path.iterdir())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("runs")
    return folder, run(config(folder))


def test_a_run_writes_the_tables_and_the_findings_of_every_report(finished: tuple[Path, Outcome]) -> None:
    _, outcome = finished
    reports = summary(outcome)["reports"]
    assert set(reports) == set(build_reports(composed()).reports)
    for name, entry in reports.items():
        assert not any(re.search(r"\bnan(%|\b)", finding) for finding in entry["findings"]), name
        tables = list((outcome.folder / "tables" / name).glob("*.csv"))
        assert tables and all(pd.read_csv(path).columns.is_unique for path in tables)


def test_evidence_is_what_the_logits_say(finished: tuple[Path, Outcome]) -> None:
    folder, _ = finished
    job = Run(make_setup(config(folder)))
    given = job.evidence()
    (target,) = given.of_role("target")
    logits = read_logits(job.setup.folders["t"].path, job.pool).astype(np.float64)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert (target.predicted == logits.argmax(axis=1)).all()
    assert np.allclose(target.confidence, shares.max(axis=1), atol=1e-6)
    assert (target.correct == job.correct(job.setup.of_role("target"))[0]).all()
    assert [model.name for model in given.models] == ["s0", "s1", "s2", "t"]
    assert target.class_names == ("banana", "mug", "sock")


def test_all_models_of_the_pool_can_be_asked_for(finished: tuple[Path, Outcome]) -> None:
    folder, _ = finished
    other = config(folder)
    other.target = {"_target_": FAKE, "name": "t2", "seed": 98}
    run(other)
    job = Run(make_setup(config(folder)))
    everyone = job.evidence(models="all")
    assert [(model.name, model.role, model.family) for model in everyone.models[3:]] == [
        ("t", "target", "fake"),
        ("t2", "target", "fake"),
    ]


def test_a_table_of_answers_that_its_stage_did_not_write_is_refused(
    finished: tuple[Path, Outcome], tmp_path: Path
) -> None:
    runs = Path(shutil.copytree(finished[0], tmp_path / "runs"))
    job = Run(make_setup(config(runs)))
    (target,) = job.setup.of_role("target")
    path = job.setup.folders["t"].path / "answers.parquet"
    table = pq.read_table(path)
    forged = table.set_column(0, "predicted", [np.full(len(table), 2, np.int32)])
    write_table_atomic(path, forged, of=table.schema.metadata[OF].decode())
    with pytest.raises(DamagedError, match="not the file that its stage has written"):
        job.answers(target)


def test_answers_in_another_label_space_are_not_taken_for_this_runs(finished: tuple[Path, Outcome]) -> None:
    folder, _ = finished
    job = Run(make_setup(config(folder)))
    (target,) = job.setup.of_role("target")
    space = job.space(target)
    turned = replace(space, accepted=dict(zip(space.accepted, [(1,), (2,), (0,)], strict=True)))
    answers = read_answers(job.setup.folders["t"].path, job.pool, turned)
    logits = read_logits(job.setup.folders["t"].path, job.pool)
    label = job.pool.table["category"].map({"banana": 1, "mug": 2, "sock": 0}).to_numpy()
    assert (answers.correct == (logits.argmax(axis=1) == label)).all()
    assert not (answers.correct == job.answers(target).correct).all()


def test_a_baseline_is_read_from_another_run(finished: tuple[Path, Outcome]) -> None:
    folder, outcome = finished
    job = Run(make_setup(config(folder)))
    baseline = job.evidence(baseline=outcome.folder).baseline
    assert baseline is not None
    assert list(baseline.columns) == [
        "model",
        "regime",
        "num_classes",
        "category",
        "num_images",
        "num_correct",
    ]
    assert baseline.groupby("model")["num_images"].sum().tolist() == [72] * 4


def test_a_folder_without_a_baseline_is_told(finished: tuple[Path, Outcome], tmp_path: Path) -> None:
    job = Run(make_setup(config(finished[0])))
    with pytest.raises(ConfigError, match="report.baseline=.* holds no"):
        job.evidence(baseline=tmp_path)
    path = tmp_path / "tables" / "accuracy" / "per_category.csv"
    path.parent.mkdir(parents=True)
    path.write_text("model,set\n")
    with pytest.raises(StoreError, match="lacks the columns"):
        job.evidence(baseline=tmp_path)


def test_summaries_hold_nothing_that_json_does_not_know() -> None:
    numbers = {"a": np.float64("nan"), "b": {"c": np.int64(3)}, "d": (np.True_, 1.5)}
    (entry,) = report_summaries([ReportResult("r", {}, ("so",), numbers)]).values()
    assert json.loads(json.dumps(entry)) == {"a": None, "b": {"c": 3}, "d": [True, 1.5], "findings": ["so"]}


@pytest.mark.parametrize("name", list(build_reports(composed("report=standard")).reports))
def test_every_report_takes_a_pool_of_photographs_without_mining(name: str) -> None:
    images = grid(num_categories=4, nuisances={"photo": 1}, num_seeds=3).assign(nuisance="")
    models = [model(letter, np.arange(len(images)) % 3 > 0, images) for letter in "tu"]
    given = Evidence(images, tuple(models), {"pool": np.ones(len(images), bool)}, 0)
    result = build_reports(composed("report=standard")).reports[name].report(given)
    assert result.tables and not any(re.search(r"\bnan(%|\b)", finding) for finding in result.findings)


@pytest.mark.parametrize("name", list(build_reports(composed("report=standard")).reports))
def test_every_report_takes_one_image_and_one_model_that_is_always_right(name: str) -> None:
    images = grid(num_categories=1, nuisances={"texture": 1}, num_seeds=1)
    models = [model("s", np.array([True]), images, role="surrogate"), model("t", np.array([True]), images)]
    assert build_reports(composed("report=standard")).reports[name].report(evidence(images, models)).tables
