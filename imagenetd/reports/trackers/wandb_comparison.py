"""The comparison report in W&B: one page over the runs of a group, made through W&B's report interface.

    python -m imagenetd.reports.trackers.wandb_comparison --group pool-d29d5f82 --targets tiny_resnet tiny_clip

It needs an account (`wandb login`), uploaded runs (`wandb sync`) and the package wandb-workspaces (extra `exports`).
"""

import argparse
import os
from collections.abc import Sequence
from typing import Any

from imagenetd.errors import UserError
from imagenetd.reports.trackers.wandb_logger import is_logged_in
from imagenetd.store.console import complain

SETS = ("pool_accepted", "mined", "accepted")


def main() -> None:
    """Make the report and print its address."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--project", default="imagenetd", help="of the runs (default: imagenetd)")
    parser.add_argument("--entity", default="", help="team or user (default: that of the account)")
    parser.add_argument("--group", required=True, help="of the runs: pool-<key>, as in their config")
    parser.add_argument("--targets", nargs="+", required=True, help="models, e.g. tiny_resnet tiny_clip")
    parser.add_argument("--title", default="Robustness to generated nuisances")
    arguments = parser.parse_args()
    try:
        if not is_logged_in(os.environ):
            raise UserError(
                "Nobody is logged in to W&B, and its reports exist online only. Run `wandb login`, upload the runs "
                "with the `wandb sync` lines that they printed, and start this again. Or open comparison.html."
            )
        report = build_report(
            arguments.project,
            arguments.group,
            arguments.targets,
            entity=arguments.entity,
            title=arguments.title,
        )
        report.save()
        print(report.url)
    except UserError as error:
        complain(error)
        raise SystemExit(1) from None


def build_report(project: str, group: str, targets: Sequence[str], *, entity: str, title: str) -> Any:
    """Return the report, not yet saved: the line, accuracies by set, tables, confusions and failures.

    Raises:
        UserError: When wandb-workspaces is not installed.
    """
    try:
        import wandb_workspaces.reports.v2 as reports
    except ImportError as error:
        raise UserError(
            "The report needs the package wandb-workspaces, which is not installed: pip install imagenetd[exports]."
        ) from error
    runs = reports.Runset(entity=entity, project=project, name=group, filters=f"Group == '{group}'")
    blocks: list[Any] = [
        reports.P(f"Runs of the group {group}: one pool, several surrogate sets and targets."),
        reports.P(
            "Each run has its own hard images, chosen by its surrogates: compare targets within one surrogate set. "
            "Surrogates are no targets: their accuracy on hard images is zero by construction."
        ),
    ]
    for target in targets:
        blocks += [
            reports.H2(target),
            reports.PanelGrid(runsets=[runs], panels=_panels(reports, target)),
        ]
    shared: list[Any] = [
        reports.MediaBrowser(title="failures", media_keys=["failures/grid"], num_columns=6),
        reports.WeavePanelSummaryTable(table_name="tables/per_nuisance"),
        reports.RunComparer(diff_only="split"),
    ]
    blocks += [reports.H2("Failures and tables"), reports.PanelGrid(runsets=[runs], panels=shared)]
    return reports.Report(
        project=project, entity=entity or "unknown", title=title, blocks=blocks, width="fluid"
    )


def _panels(reports: Any, target: str) -> list[Any]:
    metric = {name: reports.SummaryMetric(f"accuracy/{target}/{name}") for name in SETS}
    return [
        reports.ScatterPlot(title="accuracy on the line", x=metric["pool_accepted"], y=metric["accepted"]),
        reports.BarPlot(title="accuracy by set", metrics=list(metric.values()), orientation="v"),
        reports.ScatterPlot(
            title="yield against accuracy", x=reports.SummaryMetric("yield/mined"), y=metric["accepted"]
        ),
        reports.WeavePanelSummaryTable(table_name=f"confusion/{target}_table"),
    ]
