"""Make a benchmark of hard images and measure a model on it: `python run.py surrogates=four_clip target=vit_l`."""

import sys

from imagenetd.store import interrupts

sys.excepthook = interrupts.end_quietly  # also while the libraries below are read

import hydra  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

from imagenetd import commandline  # noqa: E402
from imagenetd.config.schema import register  # noqa: E402


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def run(settings: DictConfig) -> None:
    """Run one job: one config through all of its stages."""
    commandline.run_job(settings)


if __name__ == "__main__":
    register()
    commandline.main(run)
