"""Mining again with every subset of the surrogates, from stored answers: k-of-n curves, and one family left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from imagenetd.reports.design import Design, label_spaces, share
from imagenetd.reports.evidence import ModelEvidence
from imagenetd.scoring.counts import Mark, rate_of, tally
from imagenetd.scoring.statistics.bootstrap import interval_of, resampled_sums
from imagenetd.scoring.statistics.family import accuracy_without, family_log_odds
from imagenetd.scoring.statistics.intervals import (
    OTHER_CATEGORIES,
    THESE_CATEGORIES,
    THESE_IMAGES,
    share_from_error,
)
from imagenetd.scoring.statistics.subsets import (
    choose_subsets,
    failure_codes,
    is_mined,
    rank_agreement,
)

MAX_WORK = 4e9
"""Multiplications of one bootstrap; with many surrogates there are fewer draws."""
MIN_DRAWS = 100


@dataclass(frozen=True)
class Subsets:
    """Every subset of the surrogates with its k, and what mining with it selects.

    Columns of the sums are: images of the pool, judged images, those of them that count for each target, and those
    that each target gets right.
    """

    surrogates: Sequence[ModelEvidence]
    targets: Sequence[ModelEvidence]
    subsets: np.ndarray
    """Int "rows": bits."""
    min_failures: np.ndarray
    """Int "rows"."""
    chosen: np.ndarray
    """Float "rows codes": 1 where an image of this code is mined."""
    sums: np.ndarray
    """Float "categories codes columns"."""
    drawn: np.ndarray
    """Float "draws codes columns"."""
    surrogates_fail: np.ndarray
    """Bool "surrogates images", of the judged images."""
    marks: Sequence[Mark]
    """Of the targets, on the same images."""
    is_mined: np.ndarray
    """Bool "images": mined by the run itself."""
    category: np.ndarray
    """Int "images"."""
    relations: dict[str, str]
    """Name of each target -> what it is to the surrogates."""

    @classmethod
    def of(cls, design: Design, *, num_draws: int, seed: int, max_rows: int) -> "Subsets":
        """Count once; everything else is a matrix product."""
        surrogates, targets = design.evidence.of_role("surrogate"), design.evidence.of_role("target")
        evidence = design.evidence
        used, judged = ~design.is_control[design.cell_of_image], evidence.sets[evidence.judged]
        category = design.cells["category_code"].to_numpy()[design.cell_of_image]
        codes = failure_codes(~np.stack([model.wrong for model in surrogates]))
        found, place = np.unique(codes[used], return_inverse=True)
        group = category * len(found)
        group[used] += place
        pool = Mark("", "", "", judged, np.ones_like(judged))
        marks = [replace(model.mark, counted=model.counted & judged) for model in targets]
        counted = tally([pool, *marks], group, len(design.categories) * len(found), among=used)
        columns = [
            counted.num_images[:1],
            counted.num_correct[:1],
            counted.num_images[1:],
            counted.num_correct[1:],
        ]
        sums = np.concatenate(columns).T.reshape(len(design.categories), len(found), -1).astype(np.float64)
        subsets, min_failures = choose_subsets(len(surrogates), max_rows=max_rows, seed=seed)
        chosen = is_mined(found, subsets, min_failures).astype(np.float64)
        work = chosen.size * (2 + len(targets))
        draws = int(min(num_draws, max(MIN_DRAWS, MAX_WORK // max(1, work))))
        flat = sums.reshape(len(sums), -1)
        flat = flat[flat.any(axis=1)]
        drawn = resampled_sums(flat, num_draws=draws, seed=seed).reshape(draws, *sums.shape[1:])
        where = np.flatnonzero(used & judged)
        return cls(
            surrogates,
            targets,
            subsets,
            min_failures,
            chosen,
            sums,
            drawn,
            surrogates_fail=np.stack([model.wrong[where] for model in surrogates]),
            marks=[replace(m, correct=m.correct[where], counted=m.counted[where]) for m in marks],
            is_mined=evidence.sets["mined"][where],
            category=category[where],
            relations={model.name: evidence.relation(model) for model in targets},
        )

    @property
    def num_clusters(self) -> int:
        """Categories that have images."""
        return int(self.sums.any(axis=(1, 2)).sum())

    @property
    def totals(self) -> np.ndarray:
        """Float "rows columns"."""
        return self.chosen @ self.sums.sum(axis=0)

    def accuracies(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the targets' accuracies, "rows targets", and their resamples, "draws rows targets"."""
        return self.accuracy_in(self.totals), self.moved_in(self.chosen @ self.drawn)

    def of_targets(self, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the right answers and the images that count of each target, "... targets", from "... columns"."""
        return sums[..., 2 + len(self.targets) :], sums[..., 2 : 2 + len(self.targets)]

    def accuracy_in(self, sums: np.ndarray) -> np.ndarray:
        """Return the accuracy of each target in these sums."""
        return rate_of(*self.of_targets(sums)).value

    def moved_in(self, sums: np.ndarray) -> np.ndarray:
        """Return the same in resamples."""
        return share(*self.of_targets(sums))

    def names(self) -> list[str]:
        """Return the surrogates of each row, joined by `+`."""
        known = [model.name for model in self.surrogates]
        return [
            "+".join(name for bit, name in enumerate(known) if bits >> bit & 1)
            for bits in self.subsets.tolist()
        ]


def subset_table(subsets: Subsets) -> pd.DataFrame:
    """Return one row for each subset, k and target."""
    totals, num_targets = subsets.totals, len(subsets.targets)
    rows = {
        "surrogates": subsets.names(),
        "num_surrogates": np.bitwise_count(subsets.subsets).astype(np.int64),
        "min_failures": subsets.min_failures,
        "num_mined": totals[:, 0].astype(np.int64),
    }
    correct, judged = (part.ravel().astype(np.int64) for part in subsets.of_targets(totals))
    table = pd.DataFrame({name: np.repeat(column, num_targets) for name, column in rows.items()})
    table = table.assign(
        num_judged=judged, target=np.tile([model.name for model in subsets.targets], len(totals))
    )
    found = rate_of(correct, judged)
    ends = {"wilson_low": found.low, "wilson_high": found.high, "wilson_for": THESE_CATEGORIES}
    return table.assign(num_correct=correct, accuracy=found.value, **ends)


def curve_table(subsets: Subsets) -> pd.DataFrame:
    """Return for each number of surrogates, k and target the mean over the subsets, with its interval.

    The row of 0 surrogates is the whole judged pool. `rank_agreement` compares the order of the targets with
    that on the set of all surrogates with k = n.
    """
    accuracy, moved = subsets.accuracies()
    size = np.bitwise_count(subsets.subsets).astype(np.int64)
    fair = np.equal.outer(*[np.array(label_spaces(subsets.targets))] * 2)
    full = (size == len(subsets.surrogates)) & (subsets.min_failures == len(subsets.surrogates))
    tau = rank_agreement(accuracy, accuracy[np.flatnonzero(full)[0]], fair)
    whole = subsets.sums.sum(axis=0).sum(axis=0)
    moved_pool = subsets.moved_in(subsets.drawn.sum(axis=1))[:, None]
    pool = Selected(whole[None], subsets.accuracy_in(whole[None]), moved_pool, np.array([np.nan]))
    rows = [_curve_rows(subsets, 0, 0, pool)]
    for num, k in sorted(set(zip(size.tolist(), subsets.min_failures.tolist(), strict=True))):
        members = (size == num) & (subsets.min_failures == k)
        found = Selected(subsets.totals[members], accuracy[members], moved[:, members], tau[members])
        rows.append(_curve_rows(subsets, num, k, found))
    return pd.concat(rows, ignore_index=True)


@dataclass(frozen=True, slots=True)
class Selected:
    """What some subsets of one size select, and how the targets do on it."""

    totals: np.ndarray
    """Float "subsets columns", see Subsets."""
    accuracy: np.ndarray
    """Float "subsets targets"; NaN where a subset mines nothing."""
    moved: np.ndarray
    """Float "draws subsets targets": the accuracy in each draw of the bootstrap."""
    tau: np.ndarray
    """Float "subsets": how the ranks of the targets agree with those on the set of all surrogates."""


def _curve_rows(subsets: Subsets, num: int, k: int, selected: Selected) -> pd.DataFrame:
    accuracy, totals, tau = selected.accuracy, selected.totals, selected.tau
    judged = subsets.of_targets(totals)[1]
    known = ~np.isnan(accuracy).all(axis=1)  # a subset that mines nothing has no accuracy
    if known.any():
        value = _mean_of_known(accuracy[None, known])[0]
        drawn = _mean_of_known(selected.moved[:, known])
        found = interval_of(value, drawn, num_clusters=subsets.num_clusters, bounds=(0.0, 1.0))
        lowest, highest = np.fmin.reduce(accuracy[known]), np.fmax.reduce(accuracy[known])
        low, high = share_from_error(
            value,
            found.error,
            num_images=judged[known].mean(axis=0),
            degrees_of_freedom=subsets.num_clusters - 1,
        )
    else:
        value = lowest = highest = low = high = np.full(len(subsets.targets), np.nan)
    agreement = tau[~np.isnan(tau)]
    return pd.DataFrame(
        {
            **{"num_surrogates": num, "min_failures": k, "target": [model.name for model in subsets.targets]},
            **{"num_subsets": len(totals), "mean_num_mined": totals[:, 0].mean()},
            **{"mean_num_judged": judged.mean(axis=0), "min_num_judged": judged.min(axis=0).astype(np.int64)},
            **{
                "max_num_judged": judged.max(axis=0).astype(np.int64),
                "accuracy": value,
                "low": low,
                "high": high,
            },
            **{"population": OTHER_CATEGORIES, "lowest_accuracy": lowest, "highest_accuracy": highest},
            **{"extremes_for": THESE_IMAGES, "rank_agreement_for": THESE_IMAGES},
            "rank_agreement": agreement.mean() if len(agreement) else np.nan,
        }
    )


def _mean_of_known(moved: np.ndarray) -> np.ndarray:
    """Return the mean over axis 1 of what is known, NaN where nothing is."""
    known = ~np.isnan(moved)
    return share(np.where(known, moved, 0).sum(axis=1), known.sum(axis=1))


LEAVE_COLUMNS = [
    *("family", "target", "target_family", "relation", "num_surrogates", "num_without", "num_with"),
    *("accuracy_without", "accuracy_with", "change", "num_deciding", "log_odds_ratio", "log_odds_low"),
    *("log_odds_high", "leak", "leak_low", "leak_high", "population"),
]


def leave_family_out_table(subsets: Subsets) -> pd.DataFrame:
    """Return for each family of surrogates and each target whether they fail together beyond what difficulty explains.

    `log_odds_ratio` compares, among images at which equally many surrogates of other families fail, those that all of
    the family get wrong with the others: by how much the odds rise that the target fails and not a target of another
    family (see `family_log_odds`). 0: no family effect. `leak` translates it into points: the accuracy that the target
    would have on the mined set at odds smaller by this, minus the one it has (NaN
    where it is right on all or none). What sets of equally many surrogates
    show, without the family and with some of it, is described by `accuracy_without`, `accuracy_with` and `change`;
    it mixes the family with the difficulty of the sets, and no conclusion is drawn from it.
    """
    families = dict.fromkeys(model.family for model in subsets.surrogates)
    rows = [_without(subsets, family) for family in families]
    return pd.concat(rows, ignore_index=True)[LEAVE_COLUMNS] if rows else pd.DataFrame(columns=LEAVE_COLUMNS)


def _without(subsets: Subsets, family: str) -> pd.DataFrame:
    others = sum(1 << bit for bit, model in enumerate(subsets.surrogates) if model.family != family)
    size = others.bit_count()
    names = [model.name for model in subsets.targets]
    table = pd.DataFrame({"family": family, "target": names, "num_surrogates": size})
    table["target_family"] = [model.family for model in subsets.targets]
    table["relation"] = [
        subsets.relations[model.name] if model.family == family else "another family"
        for model in subsets.targets
    ]
    table["population"] = OTHER_CATEGORIES
    same_size = (np.bitwise_count(subsets.subsets) == size) & (subsets.min_failures == size)
    without = same_size & (subsets.subsets == others)
    with_it = same_size & ~without
    if size and without.any() and with_it.any():
        accuracy, judged = subsets.accuracy_in(subsets.totals), subsets.of_targets(subsets.totals)[1]
        before, after = accuracy[without][0], _mean_of_known(accuracy[None, with_it])[0]
        table = table.assign(
            num_without=judged[without][0].astype(np.int64),
            num_with=judged[with_it].mean(axis=0),
            accuracy_without=before,
            accuracy_with=after,
            change=before - after,
        )
    if size:
        table = table.assign(**_family_effects(subsets, family))
    return table.reindex(columns=LEAVE_COLUMNS)


def _family_effects(subsets: Subsets, family: str) -> dict[str, np.ndarray]:
    """Return the columns of `family_log_odds` and their translation into points, for each target."""
    inside = [model.family == family for model in subsets.surrogates]
    failing = subsets.surrogates_fail
    family_fails = np.asarray(failing[inside].all(axis=0))
    others_failing = failing[~np.array(inside)].sum(axis=0)
    rows = []
    for place, target in enumerate(subsets.targets):
        controls = [
            row
            for row, model in enumerate(subsets.targets)
            if row != place and model.family not in (family, target.family)
        ]
        compared = [subsets.marks[row] for row in (place, *controls)]
        here = np.all([mark.counted for mark in compared], axis=0)
        fails = np.stack([mark.wrong[here] for mark in compared])
        found, deciding = family_log_odds(
            fails[0],
            fails[1:],
            family_fails=family_fails[here],
            others_failing=others_failing[here],
            category=subsets.category[here],
            num_categories=len(subsets.sums),
        )
        on_mined = tally(compared[:1], subsets.is_mined.astype(np.int64), 2)
        accuracy = rate_of(on_mined.num_correct[0, 1], on_mined.num_images[0, 1]).value
        ends = np.array([found.value, found.low, found.high], dtype=np.float64)
        is_inside = bool(0 < accuracy < 1)  # of a target that is always right or wrong odds move no point
        leaks = accuracy_without(np.full(3, accuracy), ends) - accuracy if is_inside else np.full(3, np.nan)
        rows.append([deciding, *ends, *leaks])
    names = (
        "num_deciding",
        "log_odds_ratio",
        "log_odds_low",
        "log_odds_high",
        "leak",
        "leak_low",
        "leak_high",
    )
    return dict(zip(names, np.array(rows, dtype=np.float64).reshape(-1, len(names)).T, strict=True))
