"""Options of quality control that contradict each other are refused before any work; ranges stand in `qc.py`."""

from imagenetd.config.qc import AggregationMethod
from imagenetd.config.schema import Config
from imagenetd.errors import ConfigError


def check_numbers(config: Config) -> None:
    """Raise ConfigError where one option of quality control has no effect beside another."""
    tasks = config.qc.tasks
    if (tasks.num_hard_positive + tasks.num_hard_negative > 0) != (tasks.hard_votes is not None):
        raise ConfigError(
            f"qc.tasks.num_hard_positive={tasks.num_hard_positive} and num_hard_negative={tasks.num_hard_negative}, "
            f"hard_votes={tasks.hard_votes}: hard sentinels need both a number above 0 and the folder of a "
            "finished qc stage. Set qc.tasks.hard_votes=runs/qc/KEY, or leave all three out."
        )
    counting, stopping = config.qc.aggregation.method, config.qc.stopping
    if stopping.enabled and stopping.when_fixed and counting is not AggregationMethod.majority:
        raise ConfigError(
            "qc.stopping.when_fixed stops where a majority cannot change any more, but qc/aggregation is "
            f"{counting.value}. Choose qc/stopping=settled, or qc/aggregation=majority."
        )
