"""The guard of `conf/qc/`: who judges the images, on which tasks, and how their votes are counted."""

import enum
from dataclasses import dataclass, field
from typing import Annotated, Any

from omegaconf import MISSING

from imagenetd.config.page import MturkConfig, PageConfig
from imagenetd.config.ranges import Accuracy, AnyCount, Count, OpenShare, Range, Seed, Share
from imagenetd.errors import ConfigError

Weight = Annotated[float, Range(0, 1_000_000)]
"""Of a kind of worker; only its share of the sum matters."""


class QcMethod(enum.Enum):
    """Who decides whether an image shows its object."""

    none = "none"
    auto = "auto"
    simulated = "simulated"
    local = "local"
    mturk = "mturk"
    labelstudio = "labelstudio"
    form = "form"


PEOPLE = frozenset({QcMethod.local, QcMethod.mturk, QcMethod.labelstudio, QcMethod.form})
"""The ways whose votes come from people: they share one votes folder, so that they can be mixed."""


class SentinelRule(enum.Enum):
    """Which answers the sentinels bind; the paper does not say, `both` is the strictest."""

    both = "both"
    """Each of the two questions."""
    accepted = "accepted"
    """Only whether the worker accepts the image: Q1 or Q2."""
    recognise = "recognise"
    use = "use"


class Repeats(enum.Enum):
    """Which images come twice in a task, so that a worker's consistency is seen."""

    clear = "clear"
    """Its positive and negative sentinels, of which nobody is in doubt."""
    items = "items"
    """Images that are to be judged: a careful worker may see a doubtful one differently the second time."""


@dataclass(slots=True)
class TaskDesignConfig:
    """Which images a worker sees in one go, and which of them are sentinels (paper, section 3.3)."""

    images_per_task: Annotated[int, Range(1, 10_000)] = MISSING
    """At most."""
    sentinels_count: bool = MISSING
    """Sentinels are among the `images_per_task`; false: they come on top."""
    num_positive: Annotated[int, Range(0, 10_000)] = MISSING
    """Images of the asked category that several models get right: the answer must be yes."""
    num_negative: Annotated[int, Range(0, 10_000)] = MISSING
    """Images of another category, far from ambiguous: the answer must not be yes."""
    num_consistency: Annotated[int, Range(0, 10_000)] = MISSING
    """Images shown a second time: both answers must be equal."""
    num_hard_positive: Annotated[int, Range(0, 10_000)] = MISSING
    """Hard images of which the votes in `hard_votes` settled that they show the object: the answer must be yes."""
    num_hard_negative: Annotated[int, Range(0, 10_000)] = MISSING
    """Hard images of which the votes in `hard_votes` settled that they do not show it: the answer must not be yes."""
    hard_votes: str | None = MISSING
    """A finished folder of a qc stage with votes of people, or null; its hard images outside the tasks are used."""
    hard_share: Annotated[float, Range(0.5, 1, open_high=True)] = MISSING
    """It must be settled (99%) that more than this share of all workers would answer a hard sentinel so."""
    repeats: Repeats = MISSING
    sentinel_rule: SentinelRule = MISSING
    workers_per_image: Annotated[int, Range(1, 10_000)] = MISSING
    """Qualified votes on each image."""
    positive_min_correct: Count | None = MISSING
    """So many surrogates must be right on a positive sentinel; null: all of them."""
    max_confusion: Share = MISSING
    """Two categories are confused when the surrogates take more than this share of one for the other."""
    num_unmined: AnyCount = MISSING
    """Random images that mining did not choose, judged as well: so validity is known apart from difficulty."""
    num_rejected: AnyCount = MISSING
    """Random hard images that the gate before people rejects, judged as well: so what it loses is known."""
    seed: Seed = MISSING


class AggregationMethod(enum.Enum):
    """How the votes on an image become one decision."""

    majority = "majority"
    dawid_skene = "dawid_skene"
    glad = "glad"


@dataclass(slots=True)
class AggregationConfig:
    """How votes are counted."""

    method: AggregationMethod = MISSING
    min_share: Annotated[float, Range(0, 1, open_high=True)] = MISSING
    """An image is accepted when more than this share of its votes (or its probability) says so."""
    confidence: OpenShare = MISSING
    """Of the intervals."""


@dataclass(slots=True)
class StoppingConfig:
    """When enough workers have been asked."""

    enabled: bool = MISSING
    """Stop before `workers_per_image` once every image of a task is settled."""
    min_votes: Annotated[int, Range(1, 10_000)] = MISSING
    """Always asked; agreement and alpha are also given from these votes alone, which stopping does not bias."""
    threshold: Accuracy = MISSING
    """An image is settled the wrong way with a chance of 1 - threshold at most, whatever the workers' accuracy."""
    when_fixed: bool = MISSING
    """Stop also where the votes still to come cannot change any decision of the task; for qc/aggregation=majority."""
    prior: OpenShare = MISSING
    """Assumed share of valid images where no gate says so; of the cost plan alone."""


@dataclass(slots=True)
class WorkersConfig:
    """The workers of `qc=simulated`; shares are relative to their sum."""

    num_workers: Annotated[int, Range(1, 100_000)] = MISSING
    careful: Weight = MISSING
    careless: Weight = MISSING
    always_yes: Weight = MISSING
    coin: Weight = MISSING
    careful_accuracy: Share = MISSING
    """Probability of a right answer on an image, both questions together."""
    careless_accuracy: Share = MISSING
    seed: Seed = MISSING


class CalibrationMethod(enum.Enum):
    """How the gate's probabilities are mapped to the probability that an image is valid."""

    none = "none"
    platt = "platt"
    isotonic = "isotonic"


@dataclass(slots=True)
class CalibrationConfig:
    """What is known of the gate from human votes."""

    votes: str | None = MISSING
    """`auto`: all finished human votes on this pool under paths.output_dir; null: none; or a folder of a qc stage."""
    method: CalibrationMethod = MISSING
    min_images: AnyCount = MISSING
    """Fewer judged images than this, or of one kind only, calibrate nothing."""
    num_unmined: AnyCount = MISSING
    """Random unmined images that are reported beside the mined ones."""
    seed: Seed = MISSING


@dataclass(slots=True)
class PlanningConfig:
    """What the stage `plan` compares, and what people cost."""

    gate_thresholds: list[Share] = MISSING
    votes_per_image: list[Annotated[int, Range(1, 10_000)]] = MISSING
    usd_per_task: Annotated[float, Range(0, 10_000)] = MISSING
    """Paid for one response."""
    fee_share: Annotated[float, Range(0, 10)] = MISSING
    """Of the platform, on top of what is paid."""
    pays_dropped: bool = MISSING
    """Responses that fail a sentinel are paid too."""
    worker_accuracy: Annotated[float, Range(0.5, 1, open_low=True)] = MISSING
    """Right on an image, of the workers who take the trouble."""
    valid_share: Share | None = MISSING
    """Of the mined images, where no gate says so; null: qc.stopping.prior."""


@dataclass(slots=True)
class QcConfig:
    """Quality control of the mined images."""

    method: QcMethod = MISSING
    gate: Any = None
    """An independent model, a choice of `target/`: the judge of `auto`, a filter before people in the other ways."""
    min_confidence: Share = MISSING
    """The gate accepts an image when it gives the prompted category at least this probability."""
    oracle: Any = None
    """What `simulated` takes for the truth where the generator does not know it: a choice of `target/`."""
    tasks: TaskDesignConfig = field(default_factory=TaskDesignConfig)
    aggregation: AggregationConfig = field(default_factory=AggregationConfig)
    stopping: StoppingConfig = field(default_factory=StoppingConfig)
    workers: WorkersConfig = field(default_factory=WorkersConfig)
    calibration: CalibrationConfig = field(default_factory=CalibrationConfig)
    page: PageConfig = field(default_factory=PageConfig)
    mturk: MturkConfig = field(default_factory=MturkConfig)


def check_together(config: QcConfig) -> None:
    """Raise ConfigError where one option of quality control has no effect beside another."""
    tasks = config.tasks
    if (tasks.num_hard_positive + tasks.num_hard_negative > 0) != (tasks.hard_votes is not None):
        raise ConfigError(
            f"qc.tasks.num_hard_positive={tasks.num_hard_positive} and num_hard_negative={tasks.num_hard_negative}, "
            f"hard_votes={tasks.hard_votes}: hard sentinels need both a number above 0 and the folder of a "
            "finished qc stage. Set qc.tasks.hard_votes=runs/qc/KEY, or leave all three out."
        )
    counting, stopping = config.aggregation.method, config.stopping
    if stopping.enabled and stopping.when_fixed and counting is not AggregationMethod.majority:
        raise ConfigError(
            "qc.stopping.when_fixed stops where a majority cannot change any more, but qc/aggregation is "
            f"{counting.value}. Choose qc/stopping=settled, or qc/aggregation=majority."
        )
