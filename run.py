"""Make a benchmark of hard images and measure a model on it: `python run.py surrogates=four_clip target=vit_l`."""

import hydra
from omegaconf import DictConfig

from imagenetd import commandline, config


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def run(settings: DictConfig) -> None:
    """Run one job: one config through all of its stages."""
    commandline.run_job(settings)


if __name__ == "__main__":
    config.register()
    commandline.main(run)
