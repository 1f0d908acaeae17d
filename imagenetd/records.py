"""The rows that cross a stage: frozen, plain, and the same on disk as in memory."""

import enum
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Identity: TypeAlias = dict[str, Any]
"""All that decides a result, or a part of it, by name: what a key is the hash of, see `content_key`.

It holds only what JSON can hold, and nothing that differs between two machines or two days (no path, no time), so the
same choices have the same key everywhere. Renaming an entry, or adding one, gives every result another key.
"""

ModelFacts: TypeAlias = dict[str, Any]
"""What a loaded model says of itself, or a part of it: file, sha256, preprocessing, library, what is to be remarked.

It holds only what JSON can hold, is written beside the predictions, and decides no key.
"""

Record: TypeAlias = dict[str, Any]
"""What stands in a sealed JSON file of ours, e.g. `stage.json`: what a later run or a later stage wants to know.

A stage names its own entries. `stage`, `key` and `files` (name -> size and seal) are added by `StageFolder.finish`.
"""

Spec: TypeAlias = dict[str, Any]
"""What a config says of a plug-in: its class under `_target_`, and the arguments of its constructor by name."""


class Kind(enum.StrEnum):
    """The kinds of nuisance of ImageNet-D (paper, section 3.1), and the prompt without one."""

    BACKGROUND = "background"
    TEXTURE = "texture"
    MATERIAL = "material"
    NEUTRAL = "neutral"


NUISANCE_KINDS = (Kind.BACKGROUND, Kind.TEXTURE, Kind.MATERIAL)


@dataclass(frozen=True, slots=True)
class Word:
    """A nuisance of the vocabulary."""

    kind: Kind
    name: str
    """Raw name in the vocabulary, e.g. `forest-broadleaf-s`."""
    display: str
    """Cleaned name as it stands in prompts, e.g. `broadleaf forest`."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One image to be made: Prompt(C, N) and its place among the seeds."""

    index: int
    text: str
    template_version: str
    category: str
    kind: str
    nuisance: str
    """Raw name of the nuisance; empty for the neutral prompt."""
    seed: int
    seed_index: int
    """0 .. num_images_per_cell - 1."""
    template_index: int = 0
    """Which of the templates of its kind."""
    pair: str = ""
    """Images with the same value start from the same noise, e.g. `banana/0/3`; empty: noise of its own."""


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One generated image: where it lies in the pool and how it was made."""

    image_id: str
    index: int
    text: str
    template_version: str
    category: str
    kind: str
    nuisance: str
    seed: int
    seed_index: int
    noise_seed: int
    """Seed of the CPU generator that draws this image's noise; a function of `image_id` alone, or of `pair`."""
    generator: str
    """Fingerprint of the generator."""
    width_px: int
    height_px: int
    sha256: str
    """Of the encoded file."""
    shard: str
    offset: int
    """Of the encoded file's first byte in the shard."""
    length: int
    """Of the encoded file, in bytes."""
    seconds: float
    """Time that the device took for the unit of work, divided by its images: GPU-seconds on a GPU."""
    template_index: int = 0
    """Which of the templates of its kind."""
    pair: str = ""
    """Images with the same value started from the same noise; empty: noise of its own."""
    is_flagged: bool = False
    """The safety checker objected to it; never mined. What its pixels show is the generator's `nsfw_policy`."""


@dataclass(frozen=True, slots=True)
class MissingFile:
    """A file that a model needs and that is neither on this machine nor within reach."""

    file: str
    size_mb: float | None
    option: str
    """The option that can name a local copy, e.g. `generator.model=PATH`."""
    source: str
    """Where it comes from, e.g. the id of a repository on the Hugging Face hub."""


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """Which classes a model tells apart, and which of them count as right for a category."""

    name: str
    regime: str
    """`any-of-ids` (1000-way ImageNet), `zero-shot` (N-way) or `closed-set`."""
    num_classes: int
    accepted: dict[str, tuple[int, ...]]
    """Category key -> class indices that are right for it."""
    class_names: tuple[str, ...] | None = None
    fixed_chance: float | None = None
    """Chance where it does not follow from the classes: a question with two options."""
    outcomes: tuple[str, ...] = ()
    """Names of the last classes, which are no answers (`refused`, `both`, `neither`) and never right."""
    leaves_out: bool = False
    """True when an image with such an outcome does not count at all, as in the reference's scoring."""

    @property
    def chance(self) -> float:
        """Accuracy of a uniform guess over the classes, averaged over the categories."""
        if self.fixed_chance is not None:
            return self.fixed_chance
        hits = [len(ids) / self.num_classes for ids in self.accepted.values()]
        return sum(hits) / len(hits)


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What a chat model was asked about one image, and what it said."""

    question: str
    options: tuple[str, ...]
    """Category keys in the order in which they stood in the question."""
    answer: str
    """As the model wrote it."""
    outcome: str
    """The category that it names, or `refused`, `both`, `neither`."""


@dataclass(frozen=True, slots=True)
class Vote:
    """One answer of one worker on one image (paper, section 3.3: Q1 recognise, Q2 use)."""

    image_id: str
    worker: str
    can_recognise: bool
    can_use: bool
    confidence: float
    """Probability that the worker gives to the prompted category; 1 for people."""
    arm: str = ""
    """Why this image was judged, see `qc.sampling.Arm`."""
    inclusion_probability: float | None = None
    """That images of this arm were judged; None: not known."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The outcome of mining for one image."""

    image_id: str
    num_failures: int
    """Number of surrogates that are wrong."""
    is_shared: bool
    is_easy: bool
    """True when no surrogate is wrong."""


@dataclass(frozen=True, slots=True)
class Twin:
    """A mined image and another image of the same prompt, which did not choose it."""

    image_id: str
    twin_id: str


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy of one model on one slice of one set."""

    model: str
    role: str
    """`surrogate`, `target` or `gate`."""
    set: str
    """`pool`, `mined`, `accepted`, `pool_accepted` (all images of the pool that pass the gate), or `confirmation`
    (another seed of every mined prompt)."""
    kind: str
    nuisance: str
    num_images: int
    num_correct: int
    accuracy: float
    wilson_low: float
    wilson_high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """What a stage left behind."""

    stage: str
    key: str
    folder: str
    num_items: int
    unit: str
    """What was counted, e.g. `images`."""
    seconds: float
    """Wall time it took when it was made, also if it is skipped now."""
    is_skipped: bool = False
    note: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    details: tuple[str, ...] = ()
    """Further lines for people, shown below the closing line."""
    last_word: str = ""
    """A line for people, shown when the whole run has ended, e.g. how to upload an offline W&B run."""
