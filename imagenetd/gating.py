"""Quality control without people: an independent gate, made honest by whatever human votes on the pool exist."""

from typing import Any

import numpy as np
import pandas as pd

from imagenetd.errors import ConfigError
from imagenetd.job import Job
from imagenetd.judging import gate_confidence
from imagenetd.qc.calibration import Calibration, Precision, calibrate, stratified_precision
from imagenetd.qc.gate import gate_ballot
from imagenetd.qc.votes import Ballot
from imagenetd.records import Kind
from imagenetd.stages.qc import read_human_decisions, voters
from imagenetd.statistics.intervals import wilson_interval

UNKNOWN = -1


def auto_ballot(job: Job) -> Ballot:
    """Return the gate's decision on every image of the pool, with what is known about its precision.

    The pool falls into two strata: mined images, and the others, of which a random slice is always reported beside
    them. Human votes on either calibrate the gate, each weighed by how many images it stands for.
    """
    config = job.plan.config.qc
    confidence = gate_confidence(job)
    assert confidence is not None, "the plan asks for a gate"
    (gate,) = job.plan.of_role("gate")
    human, strata = _human_votes(job), _strata(job)
    fitted = _calibrate(job, confidence, human, strata)
    honest = fitted(confidence)
    accepts = honest >= config.min_confidence
    rng = np.random.default_rng(config.calibration.seed)
    sample = rng.permutation(np.flatnonzero(strata["unmined"]))[: config.calibration.num_unmined]
    summary: dict[str, Any] = {"gate": gate.name, "gate_family": gate.classifier.family}
    summary |= {"calibration": fitted.method.value, "human_votes_on": int((human != UNKNOWN).sum())}
    summary["votes_from"] = sorted({voters(folder) for folder in job.plan.calibration})
    summary |= _slices(accepts, job.mined, sample)
    summary |= _precision(accepts, human, strata)
    summary |= _claims(honest, accepts, strata)
    image_ids = job.pool.table["image_id"].tolist()
    cast = gate_ballot(honest, image_ids=image_ids, gate=gate.name, min_confidence=config.min_confidence)
    audit = _audit(job, confidence, honest, accepts, human, sample)
    return Ballot(cast.votes, summary=summary, tables={"audit": audit})


def _strata(job: Job) -> dict[str, np.ndarray]:
    is_nuisance = (job.pool.table["kind"] != Kind.NEUTRAL).to_numpy()
    return {"mined": job.mined, "unmined": is_nuisance & ~job.mined}


def _human_votes(job: Job) -> np.ndarray:
    """Return int "images": 1 accepted by people, 0 rejected, -1 not judged."""
    image_ids = job.pool.table["image_id"]
    human = np.full(len(image_ids), UNKNOWN)
    for folder in job.plan.calibration:
        decisions = pd.Series(read_human_decisions(folder), dtype=object)
        found = image_ids.map(decisions)
        is_new = found.notna().to_numpy() & (human == UNKNOWN)
        if not found.notna().any():
            raise ConfigError(
                f"The votes in {folder} are on none of the images of this pool. Set qc.calibration.votes to auto, "
                "null, or a folder of this pool."
            )
        human[is_new] = found[is_new].astype(int).to_numpy()
    return human


def _calibrate(
    job: Job, confidence: np.ndarray, human: np.ndarray, strata: dict[str, np.ndarray]
) -> Calibration:
    judged = human != UNKNOWN
    weight = np.zeros(len(human))
    for members in strata.values():
        weight[members] = members.sum() / max(1, int((members & judged).sum()))
    used = judged & (weight > 0)
    config = job.plan.config.qc.calibration
    return calibrate(
        confidence[used],
        human[used] == 1,
        weight[used],
        method=config.method,
        min_images=config.min_images,
    )


def _slices(accepts: np.ndarray, mined: np.ndarray, sample: np.ndarray) -> dict[str, Any]:
    """Return the gate's acceptance on mined images and on the random slice of the others, side by side."""
    counts = [(int(accepts[mined].sum()), int(mined.sum())), (int(accepts[sample].sum()), len(sample))]
    low, high = wilson_interval(*(np.array(column) for column in zip(*counts, strict=True)))
    return {
        f"{name}_slice": {
            "images": n,
            "accepted": k,
            "share": k / n if n else None,
            "interval": [float(low[i]), float(high[i])],
        }
        for i, (name, (k, n)) in enumerate(zip(("mined", "unmined"), counts, strict=True))
    }


def _precision(accepts: np.ndarray, human: np.ndarray, strata: dict[str, np.ndarray]) -> dict[str, Any]:
    rows = {}
    for name, members in strata.items():
        kept = members & accepts
        rows[name] = (
            int(kept.sum()),
            int((kept & (human != UNKNOWN)).sum()),
            int((kept & (human == 1)).sum()),
        )
    pool = stratified_precision(list(rows.values()))
    accepted = stratified_precision([rows["mined"]])
    return {"precision_pool_accepted": _plain(pool), "precision_accepted": _plain(accepted)}


def _plain(found: Precision) -> dict[str, Any] | None:
    """Return None when nobody has judged an image: a gate's own claim is no measurement."""
    if found.num_judged == 0:
        return None
    return {"value": found.value, "interval": [found.low, found.high], "num_judged": found.num_judged}


def _claims(honest: np.ndarray, accepts: np.ndarray, strata: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the mean probability that the gate itself gives to what it accepts."""
    everything = strata["mined"] | strata["unmined"]
    kept = {"pool_accepted": everything & accepts, "accepted": strata["mined"] & accepts}
    return {
        f"gate_claims_{name}": float(honest[members].mean()) if members.any() else None
        for name, members in kept.items()
    }


def _audit(
    job: Job,
    confidence: np.ndarray,
    honest: np.ndarray,
    accepts: np.ndarray,
    human: np.ndarray,
    sample: np.ndarray,
) -> list[dict[str, Any]]:
    image_ids = job.pool.table["image_id"].to_numpy()
    return [
        {
            "image_id": str(image_ids[i]),
            "is_mined": bool(job.mined[i]),
            "gate_probability": float(confidence[i]),
            "calibrated_probability": float(honest[i]),
            "gate_accepts": bool(accepts[i]),
            "people_accept": {1: True, 0: False}.get(int(human[i])),
        }
        for i in [*np.flatnonzero(job.mined).tolist(), *sample.tolist()]
    ]
