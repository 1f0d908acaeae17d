"""A process of a run that dies is an end with one line, soon, or the run goes on without it; never a wait."""

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import get_worker_info

from imagenetd.errors import WorkerError
from imagenetd.stages.workers.trainer import _lost_loader
from imagenetd.words.vocabulary import Category
from tests.fakes import ColourClassifier
from tests.pictures import put
from tests.test_evaluate import FILES, config, run

HERE = "tests.test_dying_processes"


class KillsItsLoader(ColourClassifier):
    """Sends a signal to the process that reads its images."""

    def __init__(self, name: str, seed: int, signal_number: int) -> None:
        super().__init__(name, seed)
        self.signal_number = signal_number

    def transform(self, image: Image.Image) -> Tensor:
        if get_worker_info() is not None:
            os.kill(os.getpid(), self.signal_number)
        return super().transform(image)


class KillsItsProcess(ColourClassifier):
    """Ends a worker in the middle of its work, so many times."""

    def __init__(self, name: str, seed: int, notes: str, times: int) -> None:
        super().__init__(name, seed)
        self.notes, self.times = Path(notes), times

    def identity(self, categories: Sequence[Category]) -> dict[str, Any]:
        return {**super().identity(categories), "times": 0}

    def logits(self, images: Tensor) -> Tensor:
        for number in range(self.times):
            with contextlib.suppress(FileExistsError):
                (self.notes / f"{number}").mkdir(parents=True)
                os.kill(os.getpid(), signal.SIGKILL)
        return super().logits(images)


class HasNoMemory(ColourClassifier):
    """Cannot read an image."""

    def transform(self, image: Image.Image) -> Tensor:
        raise MemoryError


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put(tmp_path_factory.mktemp("photos"), *FILES)


def logits(output_dir: Path) -> np.ndarray:
    parts = sorted(output_dir.glob("predictions/*/t-*/part-*"))
    return np.concatenate([np.stack(pd.read_parquet(part)["logits"]) for part in parts])


def refused(photos: Path, output_dir: Path, target: dict[str, object], *overrides: str) -> str:
    made = config(photos, output_dir, *overrides)
    made.target = target
    started = time.monotonic()
    with pytest.raises(WorkerError) as caught:
        run(made)
    assert time.monotonic() - started < 60
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGBUS])
def test_a_loader_that_dies_ends_the_run_and_names_the_option(
    number: signal.Signals, photos: Path, tmp_path: Path
) -> None:
    target = {"_target_": f"{HERE}.KillsItsLoader", "name": "t", "seed": 9, "signal_number": int(number)}
    message = refused(photos, tmp_path, target, "trainer.num_workers=1")
    assert "A process of this run that reads images (pid " in message
    assert "out of memory or of shared memory" in message and "trainer.num_workers=0" in message


def test_the_same_command_goes_on_after_a_loader_has_died(photos: Path, tmp_path: Path) -> None:
    target = {"_target_": f"{HERE}.KillsItsLoader", "name": "t", "seed": 9, "signal_number": 9}
    refused(photos, tmp_path, target, "trainer.num_workers=1")
    made = config(photos, tmp_path, "trainer.num_workers=0")
    made.target = target
    run(made)
    assert len(logits(tmp_path)) == len(FILES)


def test_a_loader_that_dies_in_one_of_two_processes_ends_the_run(photos: Path, tmp_path: Path) -> None:
    target = {"_target_": f"{HERE}.KillsItsLoader", "name": "t", "seed": 9, "signal_number": 9}
    message = refused(photos, tmp_path, target, "trainer.num_workers=1", "trainer.devices=2")
    assert "trainer.num_workers=0" in message


def test_a_process_that_is_killed_is_replaced_and_the_run_ends_with_the_same_logits(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, times in (("plain", 0), ("killed", 3)):
        made = config(photos, tmp_path / name, "trainer.devices=2", "store.images_per_shard=64")
        notes = str(tmp_path / f"notes-{name}")
        made.target = {
            "_target_": f"{HERE}.KillsItsProcess", "name": "t", "seed": 9, "notes": notes, "times": times
        }  # fmt: skip
        run(made)
    assert capsys.readouterr().out.count("was ended by SIGKILL: another takes its place") == 3
    assert np.array_equal(logits(tmp_path / "plain"), logits(tmp_path / "killed"))


def test_processes_that_are_lost_one_after_the_other_end_the_run(photos: Path, tmp_path: Path) -> None:
    target: dict[str, object] = {
        "_target_": f"{HERE}.KillsItsProcess", "name": "t", "seed": 9, "notes": str(tmp_path / "n"), "times": 99
    }  # fmt: skip
    message = refused(photos, tmp_path / "runs", target, "trainer.devices=2", "executor.max_losses=2")
    assert "3 processes of this run were lost in a row, the last by SIGKILL (out of memory?)" in message


@pytest.mark.parametrize("num_workers", [0, 1])
def test_no_memory_to_read_an_image_is_one_line(num_workers: int, photos: Path, tmp_path: Path) -> None:
    target = {"_target_": f"{HERE}.HasNoMemory", "name": "t", "seed": 9}
    message = refused(photos, tmp_path, target, f"trainer.num_workers={num_workers}")
    assert "no memory left to read the images 0 to 63" in message


def test_without_shared_memory_the_run_goes_on_with_the_same_logits(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensor: Tensor) -> Tensor:
        raise RuntimeError(
            "unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)"
        )

    run(config(photos, tmp_path / "alone"))
    monkeypatch.setattr(torch.Tensor, "share_memory_", full)  # a forked worker sees it, too
    run(config(photos, tmp_path / "worker", "trainer.num_workers=1"))
    assert np.array_equal(logits(tmp_path / "alone"), logits(tmp_path / "worker"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "DataLoader worker (pid 7) is killed by signal: Killed. ",
            "(pid 7) was ended by the signal Killed:",
        ),
        (
            "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are "
            "out of shared memory. Please try to raise your shared memory limit.",
            "(pid 7) was ended by the signal Bus error:",
        ),
        ("DataLoader worker (pid(s) 7, 8) exited unexpectedly", "(pid 7, 8) exited unexpectedly:"),
        ("mat1 and mat2 shapes cannot be multiplied", None),
    ],
)
def test_what_torch_says_of_a_lost_loader_becomes_one_line(text: str, expected: str | None) -> None:
    found = _lost_loader(RuntimeError(text))
    assert (found is None) if expected is None else (found is not None and expected in str(found))
