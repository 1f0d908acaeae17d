"""What every report is: options in, evidence in, tables and findings out; and how a config names a set of them."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from imagenetd.config.schema import build
from imagenetd.errors import ConfigError
from imagenetd.reports.evidence import Evidence, ReportResult
from imagenetd.reports.html.report import HtmlReport
from imagenetd.reports.tables_report import TablesReport

MODELS = ("run", "all")
SET_OPTIONS = ("models", "baseline", "reports", "html")


class Report(abc.ABC):
    """One report: its options are the arguments of its constructor, one yaml in `conf/report/` names them."""

    name: ClassVar[str]
    """Of its folder under `tables/` and of its entry in `summary.json`."""

    @abc.abstractmethod
    def report(self, evidence: Evidence) -> ReportResult:
        """Compute the tables; no model is run, nothing is read or written."""


@dataclass(frozen=True, slots=True)
class ReportSet:
    """The reports of one run."""

    tables: TablesReport | None
    """The report of the terminal."""
    reports: Mapping[str, Report] = field(default_factory=dict)
    models: str = "run"
    """`run`: the models of this run. `all`: also every other model with predictions of this pool."""
    baseline: Path | None = None
    """Run folder of the same models on real photographs."""
    html: HtmlReport | None = None
    """The page of the run."""


def build_reports(spec: Any) -> ReportSet:
    """Build the reports that `report` names: a set (`report=standard`), or one beside the run's own tables.

    Raises:
        ConfigError: For an option that no report has, or a value that does not fit.
    """
    if not isinstance(spec, dict):
        raise ConfigError(f"report={spec!r} is no report. Choose one, e.g. report=standard or report=tables.")
    options = {name: spec[name] for name in SET_OPTIONS if name in spec}
    single = {name: value for name, value in spec.items() if name not in SET_OPTIONS}
    found = {name: _report(entry, f"report.reports.{name}") for name, entry in _entries(options).items()}
    tables: TablesReport | None = None
    html = _html(options.get("html"))
    if single or not (found or html):
        alone = build(single, option="report")
        tables = alone if isinstance(alone, TablesReport) else TablesReport()
        if isinstance(alone, HtmlReport):
            html = alone
        elif alone is not tables:
            found[_checked(alone, "report").name] = alone
    return ReportSet(tables, found, _models(options), _baseline(options), html)


def _entries(options: Mapping[str, Any]) -> Mapping[str, Any]:
    entries = options.get("reports") or {}
    if not isinstance(entries, dict):
        raise ConfigError(
            f"report.reports={entries!r} is no set of reports. Choose one, e.g. report=standard."
        )
    return entries


def _report(spec: Any, option: str) -> Report:
    return _checked(build(spec, option=option), option)


def _checked(made: Any, option: str) -> Report:
    if not isinstance(made, Report):
        raise ConfigError(f"{option}._target_ gives a {type(made).__name__}, not a Report.")
    return made


def _models(options: Mapping[str, Any]) -> str:
    models = options.get("models", "run")
    if models not in MODELS:
        raise ConfigError(f"report.models={models} is not known. Choose one of {', '.join(MODELS)}.")
    return models


def _baseline(options: Mapping[str, Any]) -> Path | None:
    baseline = options.get("baseline")
    if baseline is None:
        return None
    if not isinstance(baseline, str):
        raise ConfigError(f"report.baseline={baseline!r} is no path. Name the folder of a finished run.")
    return Path(baseline)


def _html(spec: Any) -> HtmlReport | None:
    if spec is None:
        return None
    made = build(spec, option="report.html")
    if not isinstance(made, HtmlReport):
        raise ConfigError(f"report.html._target_ gives a {type(made).__name__}, not an HtmlReport.")
    return made
