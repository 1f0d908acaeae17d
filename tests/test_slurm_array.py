"""executor=slurm_array on a queue that runs the real scripts as processes: submitted once, made up for, and equal."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from imagenetd.config.schema import StageName, register
from imagenetd.errors import ConfigError, UserError
from imagenetd.stages.executors.slurm_array import SlurmArrayExecutor, read_submission
from imagenetd.stages.executors.slurm_scripts import JobOptions
from imagenetd.stages.preflight import check_overrides
from imagenetd.stages.workers.__main__ import main as worker
from tests.slurm_stand_in import install, jobs_of, wait_until_empty
from tests.test_crash import results
from tests.test_pipeline import config

register()
OPTIONS = [
    "generator=render", "categories.names=[banana,mug,sock]", "nuisances.background=[beach-s,street-s]",
    "nuisances.texture=[striped]", "nuisances.material=[wood]", "num_images_per_cell=6", "generator.unit_size=4",
    "surrogates=one_tiny", "target=tiny_resnet", "qc=none", "logger=none", "report=tables",
]  # fmt: skip
IMAGES = "stages=[prompts,generate]"
DYING = "generator._target_=tests.dying_renderer.DyingRenderer"


class Desk:
    """A login node with a queue behind it."""

    def __init__(self, root: Path, folder: Path, **options: Any) -> None:
        self.root, self.runs = root, folder / "runs"
        self.environment = install(folder / "slurm", **options)
        self.spool = folder / "slurm" / "spool"

    def command(self, *options: str, executor: str = "slurm_array", code: int = 0) -> str:
        """Return what a command prints."""
        made = subprocess.run(
            [sys.executable, "run.py", *OPTIONS, f"executor={executor}", f"paths.output_dir={self.runs}", *options],
            cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert made.returncode == code and "Traceback" not in made.stderr, made.stdout + made.stderr
        return made.stdout + made.stderr

    def hold(self) -> None:
        """Let no job start."""
        (self.spool / "hold").touch()

    def run_all(self) -> list[str]:
        """Let all jobs come to their end; return how each ended."""
        (self.spool / "hold").unlink(missing_ok=True)
        wait_until_empty(self.environment, timeout_s=300)
        return [(job / "over").read_text() for job in jobs_of(self.spool)]

    @property
    def pool(self) -> Path:
        (found,) = self.runs.glob("pools/*")
        return found

    def last_log(self) -> str:
        """Return what the last job printed that went on with the command."""
        return max(self.pool.glob("slurm/*/next-*.log"), key=lambda path: path.stat().st_mtime_ns).read_text()


def kept(folder: Path) -> dict[str, object]:
    """Return what the stages left behind, without Hydra's own notes."""
    return {name: value for name, value in results(folder).items() if not name.startswith("hydra/")}


@pytest.fixture(scope="module")
def images(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a local run leaves of the first two stages."""
    desk = Desk(root, tmp_path_factory.mktemp("local"))
    desk.command(IMAGES, executor="local")
    return kept(desk.runs)


@pytest.fixture
def desk(root: Path, tmp_path: Path) -> Desk:
    return Desk(root, tmp_path)


@pytest.mark.slow
def test_a_command_submits_once_and_its_jobs_leave_what_a_local_run_does(
    root: Path, tmp_path: Path, desk: Desk
) -> None:
    desk.hold()
    shown = desk.command("executor.tasks=2")
    assert "submitted: 9 shards of generate to 2 tasks of job array 101; job 102 then goes on" in shown
    assert "already submitted: job array 101 at work, then job 102 goes on" in desk.command(
        "executor.tasks=2"
    )
    assert len(jobs_of(desk.spool)) == 2
    assert desk.run_all() == ["0 0", "0", "0 0", "0"]
    local = Desk(root, tmp_path / "local")
    local.command(executor="local")
    assert len(kept(desk.runs)) > 40 and kept(desk.runs) == kept(local.runs)
    assert not list(desk.runs.rglob(".work"))
    assert "already done" in desk.command("executor.tasks=2")
    assert len(jobs_of(desk.spool)) == 4


@pytest.mark.slow
def test_more_tasks_than_an_array_may_have_are_split_and_a_limit_holds_for_all_of_them(
    root: Path, tmp_path: Path, images: dict[str, object]
) -> None:
    desk = Desk(root, tmp_path, max_array_size=2)
    shown = desk.command(IMAGES, "executor.tasks=5", "executor.max_parallel=2")
    assert "5 tasks of job arrays 101, 102, 103; job 104 then goes on" in shown
    scripts = [path.read_text() for path in sorted(desk.pool.glob("slurm/001/tasks-*.sh"))]
    assert [re.findall("--array=(.*)", text) for text in scripts] == [["0-1%2"], ["0-1%2"], ["0-0%2"]]
    assert [re.findall("--task (.*)", text) for text in scripts] == [
        ["$SLURM_ARRAY_TASK_ID"],
        ["$((2 + SLURM_ARRAY_TASK_ID))"],
        ["$((4 + SLURM_ARRAY_TASK_ID))"],
    ]
    assert desk.run_all() == ["0 0", "0 0", "0", "0"]
    assert kept(desk.runs) == images


def test_a_task_that_is_killed_is_made_up_for_by_one_submission(
    desk: Desk, tmp_path: Path, images: dict[str, object]
) -> None:
    desk.command(
        IMAGES, "executor.tasks=1", DYING, f"+generator.mark={tmp_path}/dead", "+generator.dies=once"
    )
    assert desk.run_all() == ["-9", "0", "0", "0"]
    last = read_submission(desk.pool)
    assert last is not None and (last.number, last.num_idle) == (2, 0) and last.num_missing < 9
    assert kept(desk.runs) == images


@pytest.mark.slow
def test_a_shard_that_kills_every_task_ends_the_run_in_one_line_and_a_restart_begins_anew(
    desk: Desk, tmp_path: Path, images: dict[str, object]
) -> None:
    dying = [DYING, f"+generator.mark={tmp_path}/dead"]
    limits = ["executor.tasks=1", "executor.max_submissions=1"]
    desk.command(IMAGES, *limits, *dying, "+generator.dies=always")
    codes = desk.run_all()
    assert codes == ["-9", "0", "-9", "1"]  # the second submission makes not one shard more
    (line,) = [line for line in desk.last_log().splitlines() if line.startswith("error: ")]
    assert re.search(
        r"shards? of .* missing \([78, ]+\), and 1 submission in a row did not make (it|one of them)", line
    )
    assert f"{desk.pool}/slurm/{len(codes) // 2:03d}" in line
    shown = desk.command(IMAGES, *limits, *dying, "+generator.dies=once")
    assert re.search("ended so: . shards? of", shown) and re.search("submitted: . shards? of generate", shown)
    assert desk.run_all()[-1] == "0"
    assert kept(desk.runs) == images


def test_what_a_task_cannot_do_ends_the_run_with_its_number_and_node(desk: Desk, tmp_path: Path) -> None:
    desk.environment["SLURMD_NODENAME"] = "n7"
    options = [DYING, f"+generator.mark={tmp_path}/dead", "+generator.dies=in_error"]
    desk.command(IMAGES, "executor.tasks=1", *options)
    assert desk.run_all() == ["1", "1"]
    assert "error: Task 0 on n7: A sock of wood cannot be worn." in desk.last_log()
    (log,) = desk.pool.glob("slurm/001/task-*.log")
    assert log.read_text() == "error: A sock of wood cannot be worn.\n"


@pytest.mark.slow
def test_a_local_run_takes_queued_work_over_and_the_tasks_find_none(
    desk: Desk, images: dict[str, object]
) -> None:
    desk.hold()
    desk.command(IMAGES, "executor.tasks=2")
    desk.command(IMAGES, executor="local")
    assert desk.run_all() == ["0 0", "0"]
    logs = [path.read_text() for path in desk.pool.glob("slurm/001/task-*.log")]
    assert len(logs) == 2 and all("has no work for this worker" in log for log in logs)
    assert kept(desk.runs) == images


@pytest.mark.slow
def test_each_job_of_a_sweep_goes_on_by_itself_after_the_tasks_that_they_share(
    desk: Desk, tmp_path: Path, images: dict[str, object]
) -> None:
    desk.hold()
    sweep = ["-m", "seed=0", "target=tiny_resnet,tiny_clip", f"hydra.sweep.dir={tmp_path}/sweep", IMAGES]
    shown = desk.command(*sweep, "executor.tasks=2")
    assert "submitted: 9 shards of generate to 2 tasks of job array 101; job 102 then" in shown
    assert "job array 101 at work here already; job 103 then goes on with this command" in shown
    again = desk.command(*sweep, "executor.tasks=2")
    assert re.findall("already submitted: .* job (\\d+) goes on", again) == ["102", "103"]
    scripts = [path.read_text() for path in desk.pool.glob("slurm/001/next-*.sh")]
    assert sorted(re.findall(r"target=(\w+)", " ".join(scripts))) == ["tiny_clip", "tiny_resnet"]
    assert desk.run_all() == ["0 0", "0", "0"]
    assert kept(desk.runs) == images


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("tasks=0", "executor.tasks=0 must be 1 or more"),
        ("max_submissions=0", "executor.max_submissions=0 must be 1 or more"),
        ("max_array_size=0", "executor.max_array_size=0 must be 1 or more"),
        ("max_parallel=-1", "executor.max_parallel=-1 must be 1 or more"),
        ("time_min=0", "executor.time_min=0 must be 1 or more"),
        ("gpus_per_task=2", "executor.gpus_per_task=2 must be 1 or less"),
        ("mem_gb=x", "executor.mem_gb='x' is a str, but int or null is needed"),
        ("partitio=main", "partitio"),
    ],
)
def test_a_job_that_cannot_be_meant_is_told_before_any_work(
    tmp_path: Path, option: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_overrides(["executor=slurm_array", f"executor.{option}", f"paths.output_dir={tmp_path}"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"partition": "a b"}, "executor.partition='a b' is no name"),
        ({"account": ""}, "account is empty. Give account=VALUE."),
        ({"setup": ["a\nb"]}, "each entry must be one line of a script"),
        ({"sbatch": ["qos=long"]}, "an option of sbatch starts with a hyphen, e.g. --qos=long"),
    ],
)
def test_what_cannot_stand_in_a_script_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        JobOptions(**options)


def test_what_is_asked_for_stands_in_the_scripts() -> None:
    job = JobOptions("gpu", "lab", 90, 4, 1, 32, [], ["#SBATCH --qos=long", "--nice"])
    head = job.head(name="imagenetd-generate", log=Path("/a b/50%/task-%A_%a.log"), uses_gpu=True)
    assert head == [
        "#!/bin/bash",
        "#SBATCH --job-name=imagenetd-generate",
        '#SBATCH --output="/a b/50%%/task-%A_%a.log"',
        "#SBATCH --open-mode=append",
        "#SBATCH --ntasks=1",
        "#SBATCH --partition=gpu",
        "#SBATCH --account=lab",
        "#SBATCH --time=90",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=32G",
        "#SBATCH --gpus-per-task=1",
        "#SBATCH --qos=long",
        "#SBATCH --nice",
    ]


def test_without_sbatch_a_command_is_refused_before_any_work_unless_it_has_no_long_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    made = config(tmp_path)
    refused = pytest.raises(ConfigError, match="there is no sbatch on this machine's PATH")
    with refused, SlurmArrayExecutor().leading(made):
        raise AssertionError("work began")
    made.stages = [StageName.prompts]
    with SlurmArrayExecutor().leading(made):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--task", "2", "--tasks", "2"], "error: --task 2 of --tasks 2 cannot be"),
        ([], "has no order.json: no run has ordered work there"),
    ],
)
def test_a_worker_that_cannot_work_says_so_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        worker([str(tmp_path), *options])
    shown = capsys.readouterr().err
    assert ended.value.code == 1 and message in shown and shown.count("\n") == 1


def test_a_queue_that_does_not_answer_is_no_empty_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imagenetd.stages.executors.slurm_commands import waiting_or_running

    (tmp_path / "squeue").write_text(
        "#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact' >&2; exit 1\n"
    )
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(
        UserError, match="squeue does not say whether jobs 12 of this stage are over: slurm_load"
    ):
        waiting_or_running(["12"])
