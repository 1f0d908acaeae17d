"""What a mistyped command is told: one line, what was found, what to do."""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest

from imagenetd.config.schema import build, register
from imagenetd.config.spelling import in_order, spell_out
from imagenetd.errors import ConfigError, UserError
from imagenetd.stages.preflight import check_overrides
from tests.test_pipeline import small_disk as small_disk

register()


def told(*arguments: str) -> str:
    with pytest.raises(UserError) as caught:
        check_overrides(arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("seeed=1", "seeed is not an option. Did you mean seed?"),
        ("mining.min_failure=1", "mining.min_failure is not an option. Did you mean mining.min_failures?"),
        ("generator.num_inference_step=3", "Did you mean generator.num_inference_steps?"),
        ("+mining.typo=1", "mining.typo is not an option."),
        ("+nonsense=3", "nonsense is not an option."),
        ("seed=abc", "seed: Value 'abc' of type 'str' could not be converted to Integer."),
        ("num_images_per_cell=null", "num_images_per_cell=null: this option needs a value."),
        (
            "num_images_per_cell=1.5",
            "num_images_per_cell: Value '1.5' of type 'float' could not be converted to Integer.",
        ),
        (
            "target=tiny_resent",
            "target=tiny_resent is not a choice of target. Did you mean target=tiny_resnet?",
        ),
        ("surrogates=five_clip", "surrogates=five_clip is not a choice of surrogates."),
        ("experiment=imagenetd", "Did you mean experiment=imagenet_d?"),
        ("generatorr=tiny", "generatorr is not an option. Did you mean generator?"),
        (
            "qc.method=foo",
            "qc.method: Invalid value 'foo', expected one of [none, auto, simulated, local, ",
        ),
        ("target=", "target= names no choice. Choices: clip_rn101, "),
        ("trainer=null", "trainer=null names no choice. Choices: cpu, ddp, gpu."),
        ("foo", "The command line cannot be read: Error parsing override 'foo' missing EQUAL"),
        ("name=a(b", "Write OPTION=VALUE; a value with spaces or special signs stands in quotes"),
        ("hydra/launcher=slurm", "Choices: basic, joblib, "),
        ("paths.output_dir=", "paths.output_dir is empty. Name a folder"),
        ("--foo", "unrecognized arguments: --foo. See python run.py --help."),
        ("stages=[minne]", "Invalid value 'minne', expected one of [prompts, generate, predict"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_in_one_line(argument: str, message: str) -> None:
    assert message in told(argument)


def test_a_mistake_in_one_job_of_a_sweep_is_told_before_any_job_runs() -> None:
    assert "target=tiny_clop" in told("-m", "target=tiny_resnet,tiny_clop")


def test_an_option_without_a_value_is_named() -> None:
    assert told("target=custom") == "target.module must be given: target.module=VALUE."


def test_the_flag_of_a_sweep_may_stand_anywhere() -> None:
    assert in_order(["seed=0,1", "-m", "target=vit_l"]) == ["-m", "seed=0,1", "target=vit_l"]


def test_a_folder_may_be_named_in_any_language(tmp_path: Path) -> None:
    check_overrides([spell_out(f"paths.output_dir={tmp_path}/Zoë/結果")])
    assert (tmp_path / "Zoë" / "結果").is_dir()


def test_a_sweep_whose_folder_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    options = [f"paths.output_dir={tmp_path / 'runs'}", f"hydra.sweep.dir={tmp_path / 'taken' / 'sweep'}"]
    assert "Set hydra.sweep.dir to a folder" in told("-m", "seed=0,1", *options)


def test_every_job_of_a_right_sweep_composes() -> None:
    check_overrides(["-m", "surrogates=one_tiny,two_tiny", "target=tiny_resnet,tiny_clip"])


def test_a_misspelt_option_in_an_experiment_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nmining:\n  min_failure: 2\n")
    assert "min_failure" in told("experiment=mine", f"hydra.searchpath=[file://{tmp_path}]")


def test_a_list_of_categories_is_spelt_out() -> None:
    assert spell_out("categories=[banana,mug]") == "categories.names=[banana,mug]"
    assert spell_out("categories=imagenet_d") == "categories=imagenet_d"


class Fake:
    """A plug-in with plain options."""

    def __init__(
        self, size_px: int, scale: float = 1.0, path: str | None = None, names: list[str] | None = None
    ) -> None:
        self.options = (size_px, scale, path, names)


TARGET = f"{__name__}.Fake"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size_px": "64"}, "generator.size_px='64' is a str, but int is needed."),
        ({"size_px": True}, "generator.size_px=True is a bool, but int is needed."),
        ({"size_px": 64, "names": "a"}, "generator.names='a' is a str"),
        (
            {"size_px": 64, "scal": 2.0},
            "generator.scal is not an option of generator: did you mean generator.scale?",
        ),
        ({}, "generator.size_px is missing: give generator.size_px=VALUE"),
        ({"size_px": "???"}, "generator.size_px must be given: generator.size_px=VALUE"),
    ],
)
def test_an_argument_that_a_plug_in_does_not_take_is_told(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build({"_target_": TARGET, **options}, option="generator")
    assert message in str(caught.value)


def test_a_whole_number_stands_for_a_float() -> None:
    assert build({"_target_": TARGET, "size_px": 64, "scale": 2}, option="generator").options == (
        64,
        2,
        None,
        None,
    )


def test_a_target_that_cannot_be_imported_is_told() -> None:
    with pytest.raises(ConfigError, match=r"generator\._target_=no\.such\.thing cannot be imported"):
        build({"_target_": "no.such.thing"}, option="generator")


def test_help_comes_in_two_seconds_and_names_the_groups(root: Path) -> None:
    command = [sys.executable, str(root / "run.py"), "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    for words in ("surrogates: four_clip", "experiment=imagenet_d", "num_images_per_cell", "conf/local"):
        assert words in shown
    of_hydra = subprocess.run(
        [*command, "seed=0"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert shown == of_hydra


def test_help_ends_quietly_when_its_reader_has_seen_enough(root: Path) -> None:
    command = [sys.executable, str(root / "run.py"), "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None and started.stderr is not None
        started.stdout.close()
        assert started.stderr.read() == ""
    assert started.returncode == 1


def test_a_wrong_command_ends_with_code_1_one_line_and_no_traceback(root: Path) -> None:
    command = [sys.executable, str(root / "run.py"), "target=nothing"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: target=nothing is not a choice of target.")
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


def test_a_disk_that_is_full_already_is_told_in_one_line(root: Path, small_disk: Path) -> None:
    with contextlib.suppress(OSError):
        (small_disk / "rest").write_bytes(bytes(2**21))
    command = [sys.executable, str(root / "run.py"), f"paths.output_dir={small_disk}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "the disk is full. Free some space" in ended.stderr


def test_an_output_folder_that_cannot_be_made_is_told_in_one_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    command = [sys.executable, str(root / "run.py"), f"paths.output_dir={tmp_path / 'taken'}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr == (
        f"error: Cannot write {tmp_path / 'taken'}: a file stands where a folder is needed. "
        "Set paths.output_dir to a folder. Finished work is kept.\n"
    )
