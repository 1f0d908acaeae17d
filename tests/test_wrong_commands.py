"""Wrong commands: each ends in one line with exit code 1, without a traceback, in seconds, and writes nothing."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imagenetd.config.schema import register
from imagenetd.config.spelling import spell_out
from imagenetd.errors import UserError
from imagenetd.stages.preflight import check_overrides

register()

NUMBERS = {
    "seed": ("-1", "99999999999999999999", "nan", "1.5", "true", "null", "9" * 5000),
    "num_images_per_cell": ("0", "-1", "99999999999999999999", "inf", "true", "''"),
    "mining.min_failures": ("0", "-2", "99999999999999999999"),
    "store.images_per_shard": ("0", "99999999999"),
    "trainer.devices": ("0", "-1", "100000", "true"),
    "trainer.num_threads": ("0", "100000"),
    "trainer.num_workers": ("-1", "100000"),
    "executor.lost_after_s": ("-1", "0", "nan", "inf", "abc"),
    "executor.max_losses": ("-1", "1.5", "nan"),
    "generator.unit_size": ("0", "-3", "1.5", "true", "nan", "99999999999999999999", "abc"),
    "generator.num_inference_steps": ("0", "99999999999999999999"),
    "generator.guidance_scale": ("nan", "inf", "-1"),
    "generator.height_px": ("0", "1000000"),
    "target.batch_size": ("0", "-1", "nan", "99999999999999999999"),
    "surrogates.tiny_clip_rn.batch_size": ("0",),
    "qc.min_confidence": ("nan", "1.01", "-0.01", "inf"),
    "qc.tasks.num_positive": ("-1",),
    "qc.tasks.num_hard_positive": ("-1",),
    "qc.tasks.hard_share": ("0.4", "1", "nan"),
    "qc.aggregation.min_share": ("1", "nan"),
    "qc.aggregation.num_bootstrap": ("0", "99999999999"),
    "qc.page.port": ("700000", "-1", "80.5"),
    "qc.page.link_days": ("0", "nan", "inf"),
    "qc.mturk.reward_usd": ("-1", "nan"),
    "planning.gate_thresholds": ("[1.5]", "[nan]", "abc"),
    "report.min_images": ("-1", "true", "99999999999999999999"),
    "report.reports.comparison.num_draws": ("0", "nan"),
    "logger.max_failures": ("-1",),
}
OTHERS = [
    "~generator",
    "~seed",
    "~target",
    "~paths",
    "~categories",
    "~qc",
    "~trainer",
    "~executor",
    "~generator.unit_size",
    "~report.models",
    "~nothing",
    "~data",
    "~name",
    "~stages",
    "~logger._target_",
    "name=''",
    "name=..",
    "name=a/b",
    "'name=\"a\\nb\"'",
    "name=" + "x" * 300,
    "stages=[]",
    "stages=[nothing]",
    "trainer.accelerator=abacus",
    "trainer.precision=8",
    "executor=nothing",
    "executor._target_=os.sep",
    "target._target_=os.sep",
    "target._target_=no.such.thing",
    "target._target_=''",
    "target.architecture=''",
    "generator=folder generator.root='' generator.metadata=x.csv",
    "data=folder data.root=''",
    "generator=folder generator.root=x generator.metadata=''",
    "target.name=" + "x" * 20_000,
    "paths.output_dir=''",
    "paths.output_dir='  '",
    "paths.output_dir=null",
    "paths.output_dir=taken",
    "paths.output_dir=taken/below",
    "paths.output_dir=/proc/runs",
    "paths.output_dir=/proc",
    "paths.output_dir=/dev/null",
    "paths.output_dir=" + "x" * 300,
    "paths.output_dir=" + "x/" * 3000,
    "paths.run_dir=''",
    "paths.run_dir=taken",
    "paths.run_dir=/proc/run",
    "hydra.run.dir=''",
    "hydra.run.dir=taken",
    "hydra.run.dir=/proc/x",
    "hydra.run.dir=null",
    "hydra.run.dir=" + "x" * 300,
    "'hydra.run.dir=${nothing}'",
    "-m seed=0,1 hydra.sweep.dir=taken",
    "-m seed=0,1 hydra.sweep.dir=/proc/x",
    "-m seed=0,1 hydra.sweep.dir=''",
    "-m seed=0,1 hydra.sweep.subdir=same",
    "-m seed=0,1 hydra.sweep.subdir=''",
    "-m seed=0,1 'hydra.sweep.subdir=../${hydra.job.num}'",
    "-m seed=0,1 'hydra.sweep.subdir=/proc/${hydra.job.num}'",
    "-m seed=0,-1",
    "-m target=tiny_clip,nothing",
    "--config-dir nowhere",
    "--config-dir taken",
    "--config-path nowhere",
    "--config-name nothing",
    "-cn nothing",
    "-cd nowhere",
    "-cp nowhere",
    "--nothing",
    "seed",
    "=1",
    "seed=[",
    "qc/tasks=nothing",
    "hydra/launcher=nothing",
    "hydra.searchpath=[file://nowhere] experiment=mine",
    "logger=null",
    "report.min_images=null",
    "categories.names=[]",
    "categories=[]",
    "categories.names=[banana,nothing]",
    "categories.names=''",
    "nuisances.background=[] nuisances.texture=[] nuisances.material=[]",
    "nuisances.texture=''",
    "prompts.texture=[]",
    "prompts.background=''",
    "planning.votes_per_image=[]",
    "planning.gate_thresholds=[]",
    "target=null",
    "target.mean=[]",
    "target.classes=[]",
    "surrogates=none stages=[mine]",
    "surrogates.tiny_clip_vit.templates=[]",
    "generator.known_words=[]",
    "data=imagenet_c data.root=x data.corruptions=[]",
    "qc.gate=null",
    "qc=simulated qc.gate={} mining.min_failures=5",
    "qc.stopping.enabled=true qc.stopping.when_fixed=true qc/aggregation=glad",
]
COMMANDS = [*(f"{option}={value}" for option, values in NUMBERS.items() for value in values), *OTHERS]
FAST = COMMANDS[::9]


def short(command: str) -> str:
    return command[:60]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "taken").write_text("a file")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(command: str, place: Path) -> None:
    with pytest.raises(UserError) as caught:
        check_overrides([spell_out(word) for word in shlex.split(command)])
    message = str(caught.value)
    assert message and "\n" not in message and len(message) < 2000, message
    assert [path.name for path in place.iterdir()] == ["taken"]


@pytest.mark.parametrize("command", FAST, ids=short)
def test_a_wrong_command_is_told_in_one_line_and_writes_nothing(command: str, place: Path) -> None:
    check(command, place)


@pytest.mark.slow
@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in FAST], ids=short)
def test_every_wrong_command_is_told_in_one_line_and_writes_nothing(command: str, place: Path) -> None:
    check(command, place)


def test_there_are_as_many_wrong_commands_as_promised() -> None:
    assert len(COMMANDS) >= 120


@pytest.mark.slow
@pytest.mark.parametrize("command", OTHERS[::3], ids=short)
def test_a_process_with_a_wrong_command_ends_with_code_1(command: str, place: Path, root: Path) -> None:
    words = [sys.executable, str(root / "run.py"), *shlex.split(command)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, cwd=place)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1, ended.stderr[-500:]
    assert [path.name for path in place.iterdir()] == ["taken"]


def test_a_config_folder_beside_ours_is_read(place: Path) -> None:
    (place / "mine" / "target").mkdir(parents=True)
    (place / "mine" / "target" / "own.yaml").write_text(
        "_target_: imagenetd.models.tiny_judge.TinyJudge\ncheckpoint: package:assets/tiny/judge\nname: own\n"
    )
    given = ["--config-dir", "mine", "target=own", "paths.output_dir=runs"]
    assert check_overrides(given).target["name"] == "own"


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.05, 0.1, 0.2, 0.3, 0.6, 1.0])
def test_ctrl_c_while_libraries_are_read_is_one_line(delay_s: float, root: Path, tmp_path: Path) -> None:
    words = [sys.executable, str(root / "run.py"), "num_images_per_cell=1"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    time.sleep(delay_s)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in told or "site.py" in told  # the interpreter itself was not up yet


def test_an_empty_pool_folder_is_not_the_working_folder(place: Path, root: Path) -> None:
    words = [sys.executable, "-m", "imagenetd.images", "verify", ""]
    environment = os.environ | {"PYTHONPATH": str(root)}
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1) and "is empty" in ended.stderr
