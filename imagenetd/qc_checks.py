"""Numbers of quality control that make no sense are refused before any work."""

from collections.abc import Iterator

from imagenetd.config import Config
from imagenetd.errors import ConfigError
from imagenetd.qc_config import AggregationMethod

Check = tuple[str, float, bool, str]
"""Option, its value, whether it makes sense, and what would."""


def check_numbers(config: Config) -> None:
    """Raise ConfigError for the first number of qc.* and planning.* that is out of its range."""
    for option, value, makes_sense, wanted in (*_tasks(config), *_counting(config), *_planning(config)):
        if not makes_sense:
            raise ConfigError(f"{option} is {value:g}, but must be {wanted}. Set {option} so.")
    counting, stopping = config.qc.aggregation.method, config.qc.stopping
    if stopping.enabled and stopping.when_fixed and counting is not AggregationMethod.majority:
        raise ConfigError(
            "qc.stopping.when_fixed stops where a majority cannot change any more, but qc/aggregation is "
            f"{counting.value}. Choose qc/stopping=settled, or qc/aggregation=majority."
        )


def _tasks(config: Config) -> Iterator[Check]:
    tasks = config.qc.tasks
    for name in ("images_per_task", "workers_per_image"):
        yield f"qc.tasks.{name}", getattr(tasks, name), getattr(tasks, name) >= 1, "1 or more"
    for name in ("num_positive", "num_negative", "num_consistency", "num_unmined", "max_confusion"):
        yield f"qc.tasks.{name}", getattr(tasks, name), getattr(tasks, name) >= 0, "0 or more"
    least = tasks.positive_min_correct
    yield "qc.tasks.positive_min_correct", least or 0, least is None or least >= 1, "1 or more, or null"


def _counting(config: Config) -> Iterator[Check]:
    counting, stopping, workers = config.qc.aggregation, config.qc.stopping, config.qc.workers
    share = counting.min_share
    yield "qc.aggregation.min_share", share, 0 <= share < 1, "at least 0 and below 1"
    yield "qc.aggregation.num_bootstrap", counting.num_bootstrap, counting.num_bootstrap >= 1, "1 or more"
    yield "qc.aggregation.confidence", counting.confidence, 0 < counting.confidence < 1, "between 0 and 1"
    yield "qc.stopping.min_votes", stopping.min_votes, stopping.min_votes >= 1, "1 or more"
    threshold = stopping.threshold
    yield "qc.stopping.threshold", threshold, 0.5 < threshold < 1, "above 0.5 and below 1"
    yield "qc.stopping.prior", stopping.prior, 0 < stopping.prior < 1, "between 0 and 1"
    for name in ("careful_accuracy", "careless_accuracy"):
        value = getattr(workers, name)
        yield f"qc.workers.{name}", value, 0 <= value <= 1, "between 0 and 1"
    confidence = config.qc.min_confidence
    yield "qc.min_confidence", confidence, 0 <= confidence <= 1, "between 0 and 1"
    for name in ("min_images", "num_unmined"):
        value = getattr(config.qc.calibration, name)
        yield f"qc.calibration.{name}", value, value >= 0, "0 or more"


def _planning(config: Config) -> Iterator[Check]:
    planning = config.planning
    for value in planning.gate_thresholds:
        yield "planning.gate_thresholds", value, 0 <= value <= 1, "numbers between 0 and 1"
    for votes in planning.votes_per_image:
        yield "planning.votes_per_image", votes, votes >= 1, "numbers of 1 or more"
    for name in ("usd_per_task", "fee_share"):
        yield f"planning.{name}", getattr(planning, name), getattr(planning, name) >= 0, "0 or more"
    accuracy = planning.worker_accuracy
    yield "planning.worker_accuracy", accuracy, 0.5 < accuracy <= 1, "above 0.5 and at most 1"
    share = planning.valid_share
    yield "planning.valid_share", share or 0, share is None or 0 <= share <= 1, "between 0 and 1, or null"
