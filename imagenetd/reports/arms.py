"""The arms of the drop: counts of images and right answers in each category, and in each pair of seeds."""

from dataclasses import dataclass

import numpy as np

from imagenetd.records import Kind
from imagenetd.reports.design import ALL, Design
from imagenetd.reports.evidence import ModelEvidence
from imagenetd.scoring.counts import accuracy_by, rate_of, tally


@dataclass(frozen=True, slots=True)
class Arm:
    """Images of one step: their number and the right answers in each category."""

    name: str
    images: np.ndarray
    """Float "categories"."""
    num_correct: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share of right answers over all images."""
        return float(rate_of(self.num_correct.sum(), self.images.sum()).value)


def arms_of(design: Design, index: int) -> dict[str, Arm]:
    """Return the arms of a model that have images, by name."""
    neutral, nuisance = design.in_kind(Kind.NEUTRAL), design.in_kind(ALL)
    wanted = [("neutral", "pool", neutral), ("nuisance", "pool", nuisance), ("mined", "mined", nuisance)]
    wanted += [("accepted", "accepted", nuisance)]
    judged = [("neutral_judged", "pool_accepted", neutral), ("nuisance_judged", "pool_accepted", nuisance)]
    real = real_arm(design, design.evidence.models[index])
    found = {} if real is None else {"real": real}
    for name, set_, inside in [*wanted, *judged]:
        if set_ in design.sets:
            arm = arm_of(design, design.sets.index(set_), index, inside, name)
            if arm.images.sum():
                found[name] = arm
    return found


def arm_of(design: Design, row: int, index: int, inside: np.ndarray, name: str) -> Arm:
    """Return the counts of a model (`index`) over the cells `inside` of a set (`row`)."""
    images = design.by_category(design.num_counted[row, index] * inside)
    return Arm(name, images, design.by_category(design.num_correct[row, index] * inside))


def real_arm(design: Design, model: ModelEvidence) -> Arm | None:
    """Return the counts on real photographs; only of the same model with the same list of answers."""
    baseline = design.evidence.baseline
    if baseline is None:
        return None
    same = (baseline["model"] == model.name) & (baseline["regime"] == model.regime)
    rows = baseline[same & (baseline["num_classes"] == len(model.class_names))]
    numbers = ["num_images", "num_correct"]
    counts = (
        accuracy_by(rows, ["category"]).set_index("category")[numbers].reindex(design.categories).fillna(0)
    )
    if not counts["num_images"].sum():
        return None
    return Arm("real", counts["num_images"].to_numpy(np.float64), counts["num_correct"].to_numpy(np.float64))


def pair_sums_by_seed(design: Design, index: int, set_: str) -> np.ndarray:
    """Return "pairs 4": neutral images and right answers, nuisance images and right answers; pairs with both."""
    evidence = design.evidence
    members = evidence.sets[set_]
    category = design.cells["category_code"].to_numpy()[design.cell_of_image]
    seed = evidence.images["seed_index"].to_numpy()
    pair = category * (int(seed.max(initial=0)) + 1) + seed
    arm = ~design.is_control[design.cell_of_image]
    size = int(pair.max(initial=0)) + 1
    found = tally([evidence.models[index].mark], 2 * pair + arm, 2 * size, among=members)
    sums = np.stack([found.num_images, found.num_correct], axis=-1).reshape(size, 4).astype(np.float64)
    return sums[(sums[:, 0] > 0) & (sums[:, 2] > 0)]
