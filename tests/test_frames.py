"""The way from the command to a network is short: functions of our own are counted in a stack trace at its end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MAX_FRAMES = 8
CODE = """
import traceback
from pathlib import Path

import torch
from torch import nn

from imagenetd.images.generators.render import RenderGenerator

ROOT = Path({root!r})


def tell(name):
    found = [(Path(frame.filename), frame.name) for frame in traceback.extract_stack()]
    own = [
        f"{{path.relative_to(ROOT)}} {{function}}"
        for path, function in found
        if path == ROOT / "run.py" or path.is_relative_to(ROOT / "imagenetd")
    ]
    Path(__file__).with_name(name).write_text("\\n".join(own))


class Generator(RenderGenerator):
    def generate(self, rows, noise_seeds):
        tell("generate.txt")
        return super().generate(rows, noise_seeds)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, images):
        tell("forward.txt")
        return self.head(images.mean(dim=(2, 3)))
"""
OPTIONS = [
    *(
        "generator=render",
        "generator._target_=own_frames.Generator",
        "categories.names=[banana,mug,sock]",
        "num_images_per_cell=1",
    ),
    *("surrogates=none", "qc=none", "logger=none", "trainer.devices=1", "stages=[prompts,generate,predict]"),
    *("target=custom", "target.module=own_frames.Network", "target.loads_own_weights=true"),
    *("target.classes=[banana,mug,sock]", "name=frames", "nuisances.background=[beach-s]"),
    *("nuisances.texture=[striped]", "nuisances.material=[wood]"),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    folder = tmp_path_factory.mktemp("frames")
    (folder / "own_frames.py").write_text(CODE.format(root=str(root)))
    command = [sys.executable, str(root / "run.py"), *OPTIONS, f"paths.output_dir={folder / 'runs'}"]
    paths = os.pathsep.join((str(folder), str(root)))
    ended = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=os.environ | {"PYTHONPATH": paths}
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return folder


@pytest.mark.parametrize("call", ["generate", "forward"])
def test_at_most_eight_functions_of_our_own_stand_between_the_command_and(call: str, told: Path) -> None:
    frames = (told / f"{call}.txt").read_text().splitlines()
    assert frames[0] == "run.py <module>"
    assert 2 < len(frames) <= MAX_FRAMES, frames
