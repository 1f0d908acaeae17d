"""Numbers and names of a config that are of the right type and still cannot be meant."""

from imagenetd.config import Config, LauncherName, TrainerConfig
from imagenetd.errors import ConfigError

LARGEST_SEED = 2**63 - 1
PRECISIONS = (None, "32", "32-true", "bf16-mixed", "16-mixed")
"""Lightning's `true` precisions convert only the parts of a module, and a module here has its models in a list."""


def check_limits(config: Config) -> None:
    """Raise ConfigError for a number out of its range, or a name that cannot be a folder's."""
    if abs(config.seed) > LARGEST_SEED:
        raise ConfigError(f"seed={config.seed} is too large. Set it between 0 and {LARGEST_SEED}.")
    if config.store.images_per_shard < 1:
        raise ConfigError(f"store.images_per_shard={config.store.images_per_shard} must be 1 or more.")
    if not config.name or "/" in config.name or config.name in (".", ".."):
        raise ConfigError(
            f"name={config.name!r} names the run's folder: it must not be empty or hold a slash."
        )
    check_trainer(config.trainer)


def check_trainer(config: TrainerConfig) -> None:
    """Raise ConfigError for options of the trainer that cannot be meant."""
    for name in ("devices", "num_nodes", "num_threads"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise ConfigError(f"trainer.{name}={value} must be 1 or more.")
    for name in ("join_timeout_s", "timeout_s"):
        if getattr(config, name) < 0:
            raise ConfigError(f"trainer.{name}={getattr(config, name)} must be 0 or more.")
    if config.precision not in PRECISIONS:
        known = ", ".join(name or "null" for name in PRECISIONS)
        raise ConfigError(f"trainer.precision={config.precision} is none of {known}.")
    if config.launcher is LauncherName.local and (config.num_nodes or 1) > 1:
        raise ConfigError(
            f"trainer.num_nodes={config.num_nodes} needs a launcher that starts a process on every node: "
            "`srun ... python run.py trainer=slurm`, or `torchrun ... run.py trainer=torchrun`."
        )
