"""A run from its config to its end: each stage is done, skipped, or refused because an earlier one is missing."""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagenetd.config.schema import Config, StageName
from imagenetd.errors import ConfigError
from imagenetd.records import StageResult
from imagenetd.stages.confirm import confirm
from imagenetd.stages.evaluate import evaluate
from imagenetd.stages.executors.executor import SubmittedError
from imagenetd.stages.export import export
from imagenetd.stages.generate import generate
from imagenetd.stages.mine import mine
from imagenetd.stages.plan import plan
from imagenetd.stages.predict import predict
from imagenetd.stages.prompts import prompts
from imagenetd.stages.qc import qc
from imagenetd.stages.report import report
from imagenetd.stages.run import Run
from imagenetd.stages.setup import Setup, make_setup
from imagenetd.store import remote
from imagenetd.store.console import console, say

STAGES: dict[StageName, Callable[[Run], StageResult]] = {
    StageName.prompts: prompts,
    StageName.generate: generate,
    StageName.predict: predict,
    StageName.plan: plan,
    StageName.mine: mine,
    StageName.confirm: confirm,
    StageName.qc: qc,
    StageName.evaluate: evaluate,
    StageName.report: report,
    StageName.export: export,
}
"""Every stage, in the order of StageName: it opens its folder, locks it, works, writes, and says what it left there."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: str
    """`done`, `waiting for votes`, or `submitted`: jobs of a queue go on with it."""
    folder: Path
    """Of the last stage that ran, or that is submitted; the run folder when the report did."""
    results: tuple[StageResult, ...]


def run_pipeline(config: Config, *, plain_config: dict[str, Any], overrides: Sequence[str] = ()) -> Outcome:
    """Run the stages that the config names, in their order.

    Raises:
        UserError: For a mistake that the user can mend.
    """
    root = config.paths.folder()
    remote.check(root)
    remote.pull(root / "qc")  # votes of other runs that may calibrate a gate
    run = Run(make_setup(config), plain_config, tuple(overrides))
    for stage in stages_of(run.setup):
        is_asked = stage in asked_stages(run.setup)
        if not is_asked and not is_needed(run.setup, stage):
            continue
        started = time.perf_counter()
        with _shown(stage) if is_asked else contextlib.nullcontext():
            try:
                result = STAGES[stage](run)
            except SubmittedError as submitted:
                say(submitted.line)
                return Outcome("submitted", submitted.folder, tuple(run.results))
        run.results.append(result)
        is_waiting = bool(result.counts.get("waiting"))
        if is_asked or is_waiting:
            for line in (closing_line(result, clock_s=time.perf_counter() - started), *result.details):
                say(line)
        if is_waiting:
            return Outcome("waiting for votes", Path(result.folder), tuple(run.results))
    for result in run.results:
        if result.last_word:
            say(result.last_word)
    return Outcome("done", Path(run.results[-1].folder), tuple(run.results))


def stages_of(setup: Setup) -> list[StageName]:
    """Return the stages that a run has; a dataset needs no prompts, and takes the place of the pool."""
    return [stage for stage in StageName if setup.images.is_drawn or stage is not StageName.prompts]


def asked_stages(setup: Setup) -> set[StageName]:
    """Return the stages that are to be done; a dataset is listed in any case, and `mining.confirm` goes with mine."""
    asked = set(setup.config.stages)
    if not setup.images.is_drawn:
        asked.add(StageName.generate)
    if setup.confirms and StageName.mine in asked:
        asked.add(StageName.confirm)
    return asked


def is_needed(setup: Setup, stage: StageName) -> bool:
    """Tell whether a stage that is not asked for feeds a later one; refuse to go on when it is not done."""
    later = list(StageName)[list(StageName).index(stage) + 1 :]
    needed = [name for name in later if name in setup.config.stages]
    is_left_out = {
        StageName.mine: not setup.mines,
        StageName.confirm: not setup.confirms or set(needed) <= {StageName.qc},
        StageName.qc: not setup.judges,
    }
    if (
        not needed or stage in (StageName.plan, StageName.report) or is_left_out.get(stage)
    ):  # no stage reads what plan and report wrote
        return False
    if stage is StageName.predict:
        folders = [setup.folders[model.name] for model in setup.models]
    else:
        folders = [setup.folders[stage.value]]
    if any(folder.done() is None for folder in folders):
        raise ConfigError(
            f"stages has {needed[0].value} without {stage.value}, whose results are not in {folders[0].path}. "
            f"Add {stage.value} to stages."
        )
    return True


def _shown(stage: StageName) -> contextlib.AbstractContextManager[Any]:
    """Show that a stage is at work; the long ones have a bar of their own, and only one can be shown at a time."""
    if stage in (StageName.generate, StageName.predict, StageName.confirm, StageName.report):
        return contextlib.nullcontext()
    return console().status(stage.value)


def closing_line(result: StageResult, *, clock_s: float = 0.0) -> str:
    """Return the line that ends a stage: what it made, how fast, and where.

    Args:
        result: Its `seconds` are those of the work, summed over processes and restarts.
        clock_s: How long the user has waited.
    """
    if result.is_skipped:
        speed = f"already done (key {result.key[:8]}; took {result.seconds:.1f} s)"
    elif result.seconds > 0 and result.num_items:
        speed = f"in {clock_s:.1f} s ({result.num_items / result.seconds:,.1f}/s at work)"
    else:
        speed = f"in {clock_s:.1f} s"
    note = f"; {result.note}" if result.note else ""
    return f"{result.stage:<9} {result.num_items:,} {result.unit} {speed} -> {remote.shown(Path(result.folder))}{note}"
