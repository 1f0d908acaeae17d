"""What a run logs reaches a W&B server: with `wandb sync` afterwards, or online, on loopback."""

import base64
import hashlib
import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from imagenetd.reports.trackers.run_report import Artifact, RunReport
from imagenetd.reports.trackers.wandb_logger import WandbLogger
from tests.test_wandb import TABLE, _run_report
from tests.wandb_server import Received, wandb_server

pytestmark = pytest.mark.slow
TIMEOUT_S = 60
ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    """A server in the place of W&B's, and an account on it; nothing of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    with wandb_server() as (url, received):
        monkeypatch.setenv("WANDB_BASE_URL", url)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("WANDB_INIT_TIMEOUT", str(TIMEOUT_S))
        monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
        yield received


def report_with_scores(folder: Path) -> RunReport:
    """Return a run with a table, three failures and a benchmark of one file."""
    scores = folder / "scores.csv"
    scores.write_text("model,accuracy\ntiny_resnet,0.25\n")
    lineage = {"pool": "0123"}
    made = Artifact(name="scores-a1b2c3", type="benchmark", files={"scores.csv": scores}, lineage=lineage)
    return replace(_run_report(), artifacts=(made,))


def check_received(received: Received) -> None:
    """Compare all that arrived with `report_with_scores`."""
    assert received.unknown == [] and received.exit_codes == [0]
    first = received.runs[0]
    assert (first["name"], first["project"], first["groupName"]) == ("a1b2c3", "imagenetd", "pool-0123")
    assert (first["jobType"], first["displayName"], first["tags"]) == (
        "evaluate",
        "tiny-two_tiny-tiny_resnet",
        ["tiny"],
    )
    config = json.loads(received.runs[-1]["config"])
    assert config["seed"]["value"] == 7 and config["surrogates"]["value"] == ["tiny_clip_vit"]
    assert received.summary["accuracy/tiny_resnet/mined"] == 0.25
    assert received.summary["num_images/mined"] == 4
    check_files(received)
    check_artifacts(received)


def check_files(received: Received) -> None:
    """What the history names was uploaded."""
    (row,) = received.history
    table = json.loads(received.files[row["tables/per_nuisance"]["path"]])
    assert table["columns"] == list(TABLE)
    assert table["data"] == [["background", "beach-s", 0.75, 0.25, 4], ["texture", "grid", 0.5, None, 0]]
    grid = row["failures/grid"]
    assert [caption.split(" | ")[0] for caption in grid["captions"]] == [
        f"a photo of a mug {shade}" for shade in (50, 100, 150)
    ]
    shades = [Image.open(io.BytesIO(received.files[name])).getpixel((0, 0)) for name in grid["filenames"]]
    assert shades == [(50, 0, 0), (100, 0, 0), (150, 0, 0)]
    assert json.loads(received.files["wandb-summary.json"])["num_images/mined"] == 4


def check_artifacts(received: Received) -> None:
    """Every artifact is committed, and holds each file of its manifest with the right bytes."""
    for artifact in received.artifacts.values():
        listed = json.loads(artifact["manifest"]["manifest.json"])["contents"]
        digests = {
            name: base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
            for name, data in artifact["files"].items()
        }
        assert digests == {name: entry["digest"] for name, entry in listed.items()}
        assert artifact["is_committed"]
    scores = received.artifacts["scores-a1b2c3"]
    assert scores["files"] == {"scores.csv": b"model,accuracy\ntiny_resnet,0.25\n"}
    assert json.loads(scores["metadata"]) == {"lineage": {"pool": "0123"}}
    names = [name for artifact in received.artifacts.values() for name in artifact["files"]]
    assert {"tables/per_nuisance.table.json", "failures/table.table.json"} <= set(names)
    assert sum(name.startswith("media/images/") for name in names) == 3


def bounded(*arguments: str, cwd: Path) -> str:
    """Run Python in another process, which is killed when it waits for ever, and return what it prints."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_that_an_offline_run_prints_uploads_all_of_it(tmp_path: Path, server: Received) -> None:
    line = WandbLogger(mode="offline").log_run(report_with_scores(tmp_path), tmp_path / "run")
    assert line is not None and (server.runs, server.files) == ([], {})
    bounded("-m", *shlex.split(line), cwd=tmp_path)
    check_received(server)


ONLINE = """
import sys
from pathlib import Path
from imagenetd.reports.trackers.wandb_logger import WandbLogger
from tests.slow.test_wandb_sync import report_with_scores
folder = Path(sys.argv[1])
print(WandbLogger().log_run(report_with_scores(folder), folder / "run"))
"""


def test_an_online_run_uploads_the_same(tmp_path: Path, server: Received) -> None:
    """`mode=auto` is online here, since there is a key."""
    assert bounded("-c", ONLINE, str(tmp_path), cwd=ROOT) == "None\n"
    check_received(server)
