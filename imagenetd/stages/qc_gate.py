"""Quality control without people: an independent gate, made honest by whatever human votes on the pool exist."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from imagenetd.config.qc import CalibrationMethod
from imagenetd.errors import ConfigError
from imagenetd.qc.estimates import JudgedImages
from imagenetd.qc.gate import gate_ballot
from imagenetd.qc.gate_calibration import cross_fit
from imagenetd.qc.gate_shares import NAMES, gate_shares
from imagenetd.qc.sampling import Arm, Sampling, arms_of, folds, sampling_of
from imagenetd.qc.summary import GateCount, GateShares, GateSummary, MeasuredShare
from imagenetd.qc.votes import Ballot
from imagenetd.stages.qc_people import gate_confidence
from imagenetd.stages.run import Run
from imagenetd.stages.stored import HumanVotes, read_human_votes, voters


class AuditRow(TypedDict):
    """One image that the gate has judged, to be looked at: what the gate says of it, and what people say."""

    image_id: str
    is_mined: bool
    gate_probability: float
    calibrated_probability: float
    gate_accepts: bool
    people_accept: bool | None
    """None: nobody was asked."""
    arm: str
    """Why people were asked, see `qc.sampling.Arm`."""
    inclusion_probability: float


@dataclass(frozen=True)
class GateVerdict:
    """What the gate says of every image of the pool."""

    confidence: np.ndarray
    """Float "images": the probability that it gives to the prompted category."""
    honest: np.ndarray
    """The same, calibrated by human votes where there are any."""
    accepts: np.ndarray
    """Bool "images"."""


@dataclass(frozen=True)
class Known:
    """The votes of one folder on the images of this pool, with the probability that each image was asked about."""

    votes: HumanVotes
    sampling: Sampling
    """An image that the folder's pool does not hold had no chance: probability 0."""
    judged: np.ndarray
    """Bool "images"."""
    valid: np.ndarray
    """Bool "images": judged, and people accept it."""

    def coverage(self, members: np.ndarray) -> tuple[int, int]:
        """Return how many of some images had a chance to be judged, and how many were: more is better."""
        return int((members & (self.sampling.probability > 0)).sum()), int((members & self.judged).sum())


def auto_ballot(run: Run) -> Ballot:
    """Return the gate's decision on every image of the pool, with what is known about its precision and recall.

    Human votes calibrate the gate and measure it. Each counts for as many images as its sampling arm says. Of several
    folders the one whose design covers most of the images in question is used: which one does not depend on what people
    said.
    """
    config = run.setup.config.qc
    confidence = gate_confidence(run)
    assert confidence is not None, "the config asks for a gate"
    (gate,) = run.setup.of_role("gate")
    image_ids = run.pool.table["image_id"].tolist()
    others = run.unmined
    everything = run.mined | others
    known = _known_votes(run)
    best = max(known, key=lambda one: one.coverage(everything)) if known else None
    method, honest = CalibrationMethod.none, confidence
    if best is not None:
        method, honest = cross_fit(
            confidence,
            JudgedImages(best.sampling, best.judged & everything, best.valid),
            folds(image_ids),
            method=config.calibration.method,
            min_images=config.calibration.min_images,
        )
    accepts = honest >= config.min_confidence
    verdict = GateVerdict(confidence, honest, accepts)
    summary = GateSummary(
        gate=gate.name,
        gate_family=gate.classifier.family,
        calibration=method.value,
        human_votes_on=int((best.judged & everything).sum()) if best is not None else 0,
        votes_from=(voters(best.votes.folder),) if best is not None else (),
        gate_accepts_mined=_count(accepts, run.mined),
        gate_accepts_unmined=_count(accepts, others),
        shares=_measured(known, verdict, run.mined, others),
        gate_claims_pool=_claim(honest, everything & accepts),
        gate_claims_mined=_claim(honest, run.mined & accepts),
    )
    cast = gate_ballot(honest, image_ids=image_ids, gate=gate.name, min_confidence=config.min_confidence)
    arm = arms_of(run.mined, np.ones(len(run.mined), dtype=bool), others)
    rng = np.random.default_rng(config.calibration.seed)
    slice_of_others = rng.permutation(np.flatnonzero(others))[: config.calibration.num_unmined]
    shown = [*np.flatnonzero(run.mined).tolist(), *slice_of_others.tolist()]
    audit = _audit(run, shown, verdict, best)
    sampling = sampling_of(arm, np.ones(len(arm), dtype=bool))
    return Ballot(cast.votes, summary=summary, tables={"audit": audit}, sampling=sampling)


def _known_votes(run: Run) -> list[Known]:
    """Return the votes of each folder on the images of this pool."""
    image_ids = run.pool.table["image_id"].tolist()
    found = []
    for folder in run.setup.calibration:
        votes = read_human_votes(folder)
        judged = np.array([name in votes.decided for name in image_ids], dtype=bool)
        if not judged.any():
            raise ConfigError(
                f"The votes in {folder} are on none of the images of this pool. Set qc.calibration.votes to auto, "
                "null, or a folder of this pool."
            )
        nobody = (str(Arm.NOT_ASKED), 0.0)
        arms, chances = zip(*(votes.sampling.get(name, nobody) for name in image_ids), strict=True)
        valid = np.array([votes.decided.get(name, False) for name in image_ids], dtype=bool)
        found.append(Known(votes, Sampling(tuple(arms), np.array(chances, dtype=np.float64)), judged, valid))
    return found


def _count(accepts: np.ndarray, members: np.ndarray) -> GateCount:
    """Return what the gate accepts of some images: a count, so there is no interval."""
    share = float(accepts[members].mean()) if members.any() else None
    return GateCount(int(members.sum()), int((accepts & members).sum()), share)


def _measured(
    known: Sequence[Known], verdict: GateVerdict, mined: np.ndarray, others: np.ndarray
) -> GateShares:
    """Return precision, recall and the share of valid images; None where nobody has judged: claims do not measure."""
    if not known:
        return GateShares()
    found: dict[str, MeasuredShare] = {}
    for name, members in (("mined", mined), ("pool", mined | others)):
        best = max(known, key=lambda one: one.coverage(members))
        judged = JudgedImages(best.sampling, best.judged, best.valid)
        shares = gate_shares(judged, verdict.accepts, verdict.honest, mined=mined, others=others)
        for key in (f"{share}_{name}" for share in NAMES):
            found[key] = dataclasses.replace(getattr(shares, key), votes=best.votes.folder.name)
    return GateShares(**found)


def _claim(honest: np.ndarray, kept: np.ndarray) -> float | None:
    """Return the mean probability that the gate itself gives to what it accepts."""
    return float(honest[kept].mean()) if kept.any() else None


def _audit(run: Run, shown: Sequence[int], verdict: GateVerdict, best: Known | None) -> list[AuditRow]:
    """Return a row for each mined image and for a random slice of the others, to be looked at."""
    image_ids = run.pool.table["image_id"].to_numpy()
    return [
        {
            "image_id": str(image_ids[i]),
            "is_mined": bool(run.mined[i]),
            "gate_probability": float(verdict.confidence[i]),
            "calibrated_probability": float(verdict.honest[i]),
            "gate_accepts": bool(verdict.accepts[i]),
            "people_accept": bool(best.valid[i]) if best is not None and best.judged[i] else None,
            "arm": best.sampling.arm[i] if best is not None else str(Arm.NOT_ASKED),
            "inclusion_probability": float(best.sampling.probability[i]) if best is not None else 0.0,
        }
        for i in shown
    ]
