"""A real offline run of W&B, read back from its log and its files."""

import importlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from imagenetd.errors import ConfigError, UserError
from imagenetd.reports.trackers.run_report import Artifact, Confusion, Curve, FailureCard, RunReport
from imagenetd.reports.trackers.wandb_comparison import build_report
from imagenetd.reports.trackers.wandb_comparison import main as make_comparison
from imagenetd.reports.trackers.wandb_logger import WandbLogger, is_logged_in, resolve_mode
from imagenetd.reports.trackers.wandb_media import logged_media

TABLE = pd.DataFrame(
    {
        "kind": ["background", "texture"],
        "nuisance": ["beach-s", "grid"],
        "pool_accuracy": [0.75, 0.5],
        "mined_accuracy": [0.25, float("nan")],
        "mined_num_images": [4, 0],
    }
)


def _run_report(key: str = "a1b2c3") -> RunReport:
    cards = tuple(
        FailureCard(
            f"image{shade}",
            Image.new("RGB", (16, 16), (shade, 0, 0)),
            f"a photo of a mug {shade}",
            "mug",
            "background",
            "beach-s",
            {"tiny_resnet": "teapot", "tiny_clip_vit": "sock"},
        )
        for shade in (50, 100, 150)
    )
    return RunReport(
        key=key,
        name="tiny-two_tiny-tiny_resnet",
        group="pool-0123",
        job_type="evaluate",
        tags=("tiny",),
        config={"seed": 7, "surrogates": ["tiny_clip_vit"]},
        summary={"accuracy/tiny_resnet/mined": 0.25, "num_images/mined": 4},
        tables={"per_nuisance": TABLE},
        failures=cards,
    )


@pytest.fixture(autouse=True)
def nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the account and the settings of whoever runs the tests out of them."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A server on loopback in the place of W&B's; yields the callers it had."""
    callers: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            callers.append(str(address))
            connection.close()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
    yield callers
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def _run_folder(line: str | None) -> Path:
    assert line is not None
    assert line.startswith("wandb sync ")
    return Path(line.removeprefix("wandb sync "))


def _records(run_folder: Path) -> dict[str, list[dict]]:
    """Return the records of the run's log by type, as W&B's own reader prints them."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(run_folder)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    records: dict[str, list[dict]] = {}
    for line in printed.splitlines():
        record = json.loads(line)
        records.setdefault(record["type"], []).append(record[record["type"]])
    return records


def test_an_offline_run_reads_back_with_tables_images_group_and_job_type(
    tmp_path: Path, server: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    line = WandbLogger(tags=["lab"]).log_run(_run_report(), tmp_path)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert server == []  # nobody is logged in, so nobody was called

    folder = _run_folder(line)
    records = _records(folder)
    _check_identity(records)
    _check_nuisance_table(folder)
    _check_failures(folder, records)


def _check_identity(records: dict[str, list[dict]]) -> None:
    run = records["run"][0]
    assert (run["project"], run["run_id"], run["display_name"]) == (
        "imagenetd",
        "a1b2c3",
        "tiny-two_tiny-tiny_resnet",
    )
    assert (run["run_group"], run["job_type"], run["tags"]) == ("pool-0123", "evaluate", ["tiny", "lab"])
    assert run["config"]["update"]["seed"] == 7
    assert run["config"]["update"]["surrogates"] == ["tiny_clip_vit"]
    summary = {name: value for record in records["summary"] for name, value in record["update"].items()}
    assert summary["accuracy/tiny_resnet/mined"] == 0.25
    assert summary["num_images/mined"] == 4
    assert [record["exit_code"] for record in records["exit"]] == [0]


def _check_nuisance_table(folder: Path) -> None:
    (path,) = (folder / "files/media/table/tables").glob("per_nuisance_*.table.json")
    table = json.loads(path.read_text())
    assert table["columns"] == ["kind", "nuisance", "pool_accuracy", "mined_accuracy", "mined_num_images"]
    assert table["data"] == [["background", "beach-s", 0.75, 0.25, 4], ["texture", "grid", 0.5, None, 0]]


def _check_failures(folder: Path, records: dict[str, list[dict]]) -> None:
    logged = records["history"][0]["item"]
    assert logged["failures/grid.captions"] == [
        f"a photo of a mug {shade} | tiny_resnet: teapot, tiny_clip_vit: sock" for shade in (50, 100, 150)
    ]
    paths = [folder / "files" / name for name in logged["failures/grid.filenames"]]
    assert [Image.open(path).getpixel((0, 0)) for path in paths] == [(50, 0, 0), (100, 0, 0), (150, 0, 0)]
    staged = [entry for record in records["artifact"] for entry in record["manifest"]["contents"]]
    (path,) = [entry["local_path"] for entry in staged if entry["path"] == "failures/table.table.json"]
    table = json.loads(Path(path).read_text())
    columns = ["image", "prompt", "category", "kind", "nuisance", "tiny_resnet", "tiny_clip_vit", "image_id"]
    assert table["columns"] == columns
    assert [row[1:] for row in table["data"]][0] == [
        *("a photo of a mug 50", "mug", "background", "beach-s", "teapot", "sock", "image50")
    ]
    assert {row[0]["_type"] for row in table["data"]} == {"image-file"}


def test_everything_that_a_later_sync_needs_lies_in_the_folder_of_the_run(tmp_path: Path) -> None:
    before = dict(os.environ)
    first = _run_folder(WandbLogger().log_run(_run_report("first"), tmp_path / "one"))
    second = _run_folder(WandbLogger().log_run(_run_report("second"), tmp_path / "two"))
    assert (first.parent, second.parent) == (tmp_path / "one/wandb", tmp_path / "two/wandb")
    assert dict(os.environ) == before
    for folder in (first, second):
        records = _records(folder)
        staged = [
            entry["local_path"] for record in records["artifact"] for entry in record["manifest"]["contents"]
        ]
        assert len(staged) == 1 + 1 + 3  # a table; a table of failures with its images
        assert all(Path(path).is_relative_to(folder.parent) and Path(path).exists() for path in staged)


def _tracked_report(tmp_path: Path) -> RunReport:
    pool = tmp_path / "pool"
    pool.mkdir()
    (pool / "manifest.parquet").write_bytes(b"rows")
    (pool / "shard-000000.tar").write_bytes(b"images")
    files = {"manifest.parquet": pool / "manifest.parquet", "shards/0.tar": pool / "shard-000000.tar"}
    return replace(
        _run_report(),
        confusions=(Confusion("confusion/t", "t on accepted", ("mug", "sock"), (0, 0, 1), (1, 0, 1)),),
        curves=(Curve("curves/k_of_n", "k of n", "k", (0.0, 1.0), {"t": (0.8, 0.25), "share": (1.0, 0.5)}),),
        artifacts=(Artifact("pool-0123abcd", "pool", files, {"prompts": "99"}),),
    )


def test_confusion_curve_and_artifact_read_back(tmp_path: Path) -> None:
    folder = _run_folder(WandbLogger().log_run(_tracked_report(tmp_path), tmp_path / "run"))
    records = _records(folder)
    (confusion,) = (folder / "files/media/table").rglob("t_table_*.table.json")
    assert json.loads(confusion.read_text())["data"] == [
        *(["mug", "mug", 1], ["mug", "sock", 1], ["sock", "mug", 0], ["sock", "sock", 1])
    ]
    (curve,) = (folder / "files/media/table").rglob("k_of_n_table_*.table.json")
    assert json.loads(curve.read_text())["data"] == [
        *([0.0, "t", 0.8], [1.0, "t", 0.25], [0.0, "share", 1.0], [1.0, "share", 0.5])
    ]
    (pool,) = [record for record in records["artifact"] if record["type"] == "pool"]
    assert pool["name"] == "pool-0123abcd"
    assert json.loads(pool["metadata"]) == {"lineage": {"prompts": "99"}}
    contents = {entry["path"]: Path(entry["local_path"]) for entry in pool["manifest"]["contents"]}
    assert contents["manifest.parquet"].read_bytes() == b"rows"
    assert contents["shards/0.tar"] == tmp_path / "pool" / "shard-000000.tar"  # large files are not copied


def test_a_table_above_the_limit_of_wandb_is_logged_in_parts() -> None:
    import wandb

    run = replace(_run_report(), tables={"cells": pd.DataFrame({"n": range(5)})}, failures=())
    logged = logged_media(wandb, run, max_failures=1, max_rows=2)
    assert {name: table.data for name, table in logged.items()} == {
        "tables/cells_part1": [[0], [1]],
        "tables/cells_part2": [[2], [3]],
        "tables/cells_part3": [[4]],
    }


def test_an_unknown_level_of_artifacts_is_refused() -> None:
    with pytest.raises(ConfigError, match="logger.artifacts is some, but only none, small, all"):
        WandbLogger(artifacts="some")


def test_a_group_of_the_config_replaces_the_pool(tmp_path: Path) -> None:
    folder = _run_folder(WandbLogger(group="my-sweep").log_run(_run_report(), tmp_path))
    assert _records(folder)["run"][0]["run_group"] == "my-sweep"


def test_the_grid_holds_at_most_max_failures(tmp_path: Path) -> None:
    folder = _run_folder(WandbLogger(max_failures=1).log_run(_run_report(), tmp_path))
    assert _records(folder)["history"][0]["item"]["failures/grid.count"] == 1


def test_a_run_that_wandb_refuses_is_one_line_and_the_next_one_works(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        WandbLogger().log_run(_run_report("not/an/id"), tmp_path)
    assert str(caught.value).startswith("Logging to W&B (offline) failed: ")
    assert "\n" not in str(caught.value)
    assert WandbLogger().log_run(_run_report(), tmp_path) is not None


def test_disabled_writes_nothing(tmp_path: Path) -> None:
    assert WandbLogger(mode="disabled").log_run(_run_report(), tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ConfigError, match="logger.mode is of-line, but only auto, online, offline, disabled"):
        WandbLogger(mode="of-line")


def test_auto_is_online_only_when_logged_in(tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    nobody = {"NETRC": str(netrc)}
    assert resolve_mode("auto", nobody) == "offline"
    assert resolve_mode("auto", {**nobody, "WANDB_API_KEY": "x" * 40}) == "online"
    assert resolve_mode("auto", {**nobody, "WANDB_API_KEY": "x" * 40, "WANDB_MODE": "offline"}) == "offline"
    assert resolve_mode("online", nobody) == "online"
    netrc.write_text("machine api.wandb.ai login user password secret\n")
    netrc.chmod(0o600)
    assert is_logged_in(nobody)
    assert not is_logged_in({**nobody, "WANDB_BASE_URL": "https://wandb.example.org"})


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pydantic, under wandb-workspaces
def test_the_comparison_report_covers_every_target_of_a_group() -> None:
    importlib.import_module("wandb_workspaces")
    report = build_report("p", "pool-1", ["t", "u"], entity="lab", title="x")
    grids = [block for block in report.blocks if type(block).__name__ == "PanelGrid"]
    assert len(grids) == 3
    assert {grid.runsets[0].filters for grid in grids} == {"Group == 'pool-1'"}
    assert [grid.panels[0].y.name for grid in grids[:2]] == ["accuracy/t/accepted", "accuracy/u/accepted"]


def test_the_comparison_report_needs_an_account(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["x", "--group", "pool-1", "--targets", "t"])
    with pytest.raises(SystemExit):
        make_comparison()
    assert capsys.readouterr().err.startswith("error: Nobody is logged in to W&B")
