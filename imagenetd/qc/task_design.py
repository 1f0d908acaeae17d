"""Tasks with sentinels from the pool itself, by the paper's rules (section 3.3). Pure and seeded.

Every image to be judged is an item of exactly one task, which n different workers answer; a sentinel stands in one task
only. So whoever answers whichever tasks, no worker sees an image twice, except for the repeats that are meant.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from imagenetd.config.qc import Repeats, TaskDesignConfig
from imagenetd.errors import ConfigError
from imagenetd.qc.odds import repeat_counts
from imagenetd.qc.tasks import Slot, SlotRole, Task

DESIGN_VERSION = 2
"""Raise it when the same input gives other tasks: votes on old tasks are then never counted for new ones."""

NO_CATEGORY = -1


@dataclass(frozen=True)
class DesignPool:
    """What the choice of sentinels needs to know of a pool."""

    image_ids: Sequence[str]
    categories: Sequence[str]
    label: Int[np.ndarray, " images"]
    """Position in `categories` of the prompted one."""
    predicted: Int[np.ndarray, "surrogates images"]
    """Position in `categories` of the surrogates' answers; -1 for a class that is none of them."""
    correct: Bool[np.ndarray, "surrogates images"]
    gold: Int8[np.ndarray, " images"] | None = None
    """1: votes settled that a hard image shows its object, -1: that it does not, 0: neither; None: none is asked."""


@dataclass(frozen=True)
class Design:
    """What is asked."""

    tasks: tuple[Task, ...]
    training: tuple[Slot, ...]
    """One positive and one negative example."""
    unmined: tuple[str, ...]
    """Ids of the random images that mining did not choose; they are items like the others."""


def confusion(pool: DesignPool) -> Float[np.ndarray, "categories categories"]:
    """Return the share of answers on images of a row's category that name a column's category."""
    size = len(pool.categories)
    label = np.broadcast_to(pool.label, pool.predicted.shape)
    known = pool.predicted != NO_CATEGORY
    counts = np.bincount(label[known] * size + pool.predicted[known], minlength=size * size)
    total = np.bincount(pool.label, minlength=size) * len(pool.predicted)
    return counts.reshape(size, size) / np.maximum(total, 1)[:, None]


def num_sentinels(config: TaskDesignConfig) -> int:
    """Return how many judgements of a task are no votes."""
    easy = config.num_positive + config.num_negative + config.num_consistency
    return easy + config.num_hard_positive + config.num_hard_negative


def num_items_per_task(config: TaskDesignConfig) -> int:
    """Return how many images of a full task are to be judged."""
    sentinels = num_sentinels(config)
    items = config.images_per_task - (sentinels if config.sentinels_count else 0)
    repeats_clear = config.repeats is Repeats.clear
    if repeats_clear and config.num_consistency > config.num_positive + config.num_negative:
        raise ConfigError(
            f"qc.tasks.num_consistency={config.num_consistency} images of a task come twice, but "
            f"qc.tasks.repeats=clear has only {config.num_positive} positive and {config.num_negative} negative "
            "sentinels for that. Set num_consistency to their sum or less, or qc.tasks.repeats=items."
        )
    least = 1 if repeats_clear else max(1, config.num_consistency)
    if items < least:
        raise ConfigError(
            f"qc.tasks.images_per_task={config.images_per_task} leaves {items} images to be judged beside {sentinels} "
            f"sentinels. Set it to {sentinels + least} or more."
        )
    return items


def cut(num_items: int, size: int) -> list[int]:
    """Return the sizes of as few tasks as hold all items; they differ by one at most, so that none is left over.

    >>> cut(35, 16)
    [12, 12, 11]
    """
    num_tasks = -(-num_items // size)
    return [num_items // num_tasks + (n < num_items % num_tasks) for n in range(num_tasks)]


def design_tasks(
    pool: DesignPool,
    judged: Bool[np.ndarray, " images"],
    others: Bool[np.ndarray, " images"],
    config: TaskDesignConfig,
) -> Design:
    """Choose sentinels and unmined images, and lay everything out in tasks of random order.

    Args:
        pool: The images.
        judged: Marks those that people shall judge.
        others: Marks those from which the unmined images are drawn.
        config: Numbers and seed; the same input gives the same tasks.

    Raises:
        ConfigError: When the pool has too few images that can be sentinels.
    """
    rng = np.random.default_rng(config.seed)
    size = num_items_per_task(config)
    unmined = rng.permutation(np.flatnonzero(others & ~judged))[: config.num_unmined]
    items = rng.permutation(np.concatenate([np.flatnonzero(judged), unmined]))
    if len(items) == 0:
        return Design((), (), ())
    sizes = cut(len(items), size)
    chooser = _Sentinels(pool, config, rng, taken=items, num_tasks=len(sizes))
    tasks, start = [], 0
    for number, length in enumerate(sizes):
        chosen = chooser.choose(config.num_positive, config.num_negative, num_tasks=len(sizes))
        chosen += chooser.choose_hard(
            config.num_hard_positive, config.num_hard_negative, num_tasks=len(sizes)
        )
        tasks.append(chooser.task(f"t{number:05d}", items[start : start + length], chosen))
        start += length
    training = chooser.choose(1, 1, num_tasks=1)
    slots = tuple(_slot(pool, position, *entry) for position, entry in enumerate(training))
    return Design(tuple(tasks), slots, tuple(pool.image_ids[i] for i in unmined.tolist()))


Entry = tuple[int, int, SlotRole]
"""Image, category that is asked for, role."""


def _repeated(first: Sequence[Entry], config: TaskDesignConfig, rng: np.random.Generator) -> list[Entry]:
    """Return the repeats of a task: of its sentinels, each kind in its number, or of its items."""
    wanted = {SlotRole.ITEM: config.num_consistency}
    if config.repeats is Repeats.clear:
        counts = repeat_counts(config.num_positive, config.num_negative, config.num_consistency)
        wanted = dict(zip((SlotRole.POSITIVE, SlotRole.NEGATIVE), counts, strict=True))
    chosen: list[Entry] = []
    for role, count in wanted.items():
        of_role = [entry for entry in first if entry[2] is role]
        chosen += [of_role[place] for place in rng.permutation(len(of_role))[:count].tolist()]
    return [(image, category, SlotRole.CONSISTENCY) for image, category, _ in chosen]


def _slot(pool: DesignPool, position: int, image: int, category: int, role: SlotRole) -> Slot:
    return Slot(position, pool.image_ids[image], pool.categories[category], role)


class _Sentinels:
    """Hands out sentinels, each image once, and lays tasks out."""

    def __init__(
        self,
        pool: DesignPool,
        config: TaskDesignConfig,
        rng: np.random.Generator,
        *,
        taken: Int[np.ndarray, " items"],
        num_tasks: int,
    ) -> None:
        num_right = pool.correct.sum(axis=0)
        free = np.ones(len(pool.label), dtype=bool)
        free[taken] = False
        self._num_candidates: dict[SlotRole, int] = {}
        self._hard: dict[SlotRole, Iterator[int]] = {}
        if pool.gold is not None:
            wanted = {
                SlotRole.HARD_POSITIVE: config.num_hard_positive,
                SlotRole.HARD_NEGATIVE: config.num_hard_negative,
            }
            for role, sign in ((SlotRole.HARD_POSITIVE, 1), (SlotRole.HARD_NEGATIVE, -1)):
                settled = rng.permutation(np.flatnonzero(free & (pool.gold == sign)))
                self._num_candidates[role] = len(settled)
                kept = settled[: num_tasks * wanted[role]]  # they are no easy sentinels
                free[kept], self._hard[role] = False, iter(kept.tolist())
            free &= (
                pool.gold != -1
            )  # what surrogates get right although it does not show the object is not easy
        least = len(pool.correct) if config.positive_min_correct is None else config.positive_min_correct
        negatives = rng.permutation(np.flatnonzero(free & (num_right == len(pool.correct))))
        positives = rng.permutation(np.flatnonzero(free & (num_right >= least)))
        confused = confusion(pool)
        clear = np.maximum(confused, confused.T) <= config.max_confusion
        np.fill_diagonal(clear, False)
        self._pool, self._config, self._rng, self._clear, self._least = pool, config, rng, clear, least
        self._given: set[int] = set()
        self._num_candidates |= {SlotRole.POSITIVE: len(positives), SlotRole.NEGATIVE: len(negatives)}
        self._positives = iter(positives.tolist())
        self._negatives = self._negative_entries(negatives.tolist())

    def _negative_entries(self, images: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield images with another category that nobody takes them for."""
        for image in images:
            others = np.flatnonzero(self._clear[self._pool.label[image]])
            if len(others):
                yield image, int(self._rng.choice(others))

    def choose(self, num_positive: int, num_negative: int, *, num_tasks: int) -> list[Entry]:
        """Return the sentinels of one task."""
        # Negatives first: they are the rarer kind.
        entries: list[Entry] = []
        for _ in range(num_negative):
            found = next((pair for pair in self._negatives if pair[0] not in self._given), None)
            entries.append((*self._checked(found, SlotRole.NEGATIVE, num_tasks), SlotRole.NEGATIVE))
        for _ in range(num_positive):
            image = next((one for one in self._positives if one not in self._given), None)
            pair = None if image is None else (image, int(self._pool.label[image]))
            entries.append((*self._checked(pair, SlotRole.POSITIVE, num_tasks), SlotRole.POSITIVE))
        return entries

    def choose_hard(self, num_positive: int, num_negative: int, *, num_tasks: int) -> list[Entry]:
        """Return the hard sentinels of one task; each asks for the image's own category."""
        entries: list[Entry] = []
        for role, wanted in ((SlotRole.HARD_POSITIVE, num_positive), (SlotRole.HARD_NEGATIVE, num_negative)):
            for _ in range(wanted):
                image = next(self._hard.get(role, iter(())), None)
                if image is None:
                    has = self._num_candidates.get(role, 0)
                    raise ConfigError(
                        f"{num_tasks} tasks need {num_tasks * wanted} hard sentinels that "
                        f"{'show' if role is SlotRole.HARD_POSITIVE else 'do not show'} their object, but the votes in "
                        f"qc.tasks.hard_votes settle only {has} such images of this pool that are not to be judged "
                        f"now. Lower qc.tasks.num_{role.value} or qc.tasks.hard_share, or name a folder with more "
                        "votes, or with images that other surrogates found hard."
                    )
                entries.append((image, int(self._pool.label[image]), role))
        return entries

    def task(self, task_id: str, items: Int[np.ndarray, " items"], sentinels: Sequence[Entry]) -> Task:
        """Return a task of items and sentinels, with what is shown twice, in random order."""
        pool, config, rng = self._pool, self._config, self._rng
        entries = [(int(i), int(pool.label[i]), SlotRole.ITEM) for i in items]
        first = list(sentinels) if config.repeats is Repeats.clear else entries
        entries = [*entries, *_repeated(first, config, rng), *sentinels]
        order = rng.permutation(len(entries)).tolist()
        return Task(task_id, tuple(_slot(pool, place, *entries[i]) for place, i in enumerate(order)))

    def _checked(self, pair: tuple[int, int] | None, role: SlotRole, num_tasks: int) -> tuple[int, int]:
        if pair is None:
            raise ConfigError(
                f"{num_tasks} tasks need more {role.value} sentinels than this pool has: only "
                f"{self._num_candidates[role]} images are outside the tasks and right for {self._least} surrogates. "
                "Make the pool larger (num_images_per_cell), or lower qc.tasks.positive_min_correct, "
                f"qc.tasks.num_{role.value} or, for negatives, raise qc.tasks.max_confusion."
            )
        self._given.add(pair[0])
        return pair
