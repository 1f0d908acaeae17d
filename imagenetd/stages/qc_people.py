"""Who says whether an image shows its object: people or simulated workers; and what the truth is, if known."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imagenetd.config.qc import PEOPLE, QcMethod
from imagenetd.qc.completion import missing_responses
from imagenetd.qc.counting import count_votes
from imagenetd.qc.estimates import JudgedImages
from imagenetd.qc.gate_shares import gate_shares
from imagenetd.qc.page_options import write_options
from imagenetd.qc.sampling import arms_of, sample, sampling_of
from imagenetd.qc.summary import GateBefore, KnownShares, PeopleSummary
from imagenetd.qc.task_design import NO_CATEGORY, Design, DesignPool, design_tasks
from imagenetd.qc.votes import Ballot
from imagenetd.qc.votes_folder import TASKS_FILE, read_responses
from imagenetd.records import Kind, Vote
from imagenetd.scoring.predictions import labels
from imagenetd.stages.asking import asked_images, open_tasks, publish_tasks, simulate_responses
from imagenetd.stages.qc_keys import rules_of
from imagenetd.stages.run import Run
from imagenetd.stages.stored import read_gold


@dataclass(frozen=True)
class Truth:
    """What the images really show."""

    category: np.ndarray
    """Int "images": position among the pool's categories; -1 for something else."""
    is_valid: np.ndarray
    """Bool "images": it is the prompted category."""
    source: str
    """Who says so, for every output that rests on it."""


def known_truth(run: Run) -> Truth | None:
    """Return the truth of a pool whose generator knows it, or as the oracle sees it; None for real images."""
    categories, label = labels(run.pool)
    shown = run.setup.images.shown_categories()
    if shown is not None:
        position = {name: number for number, name in enumerate(categories)}
        category = np.array([position.get(name, NO_CATEGORY) for name in shown], dtype=np.int64)
        source = "exact: the generator knows what it drew"
    else:
        oracles = run.setup.of_role("oracle")
        if not oracles:
            return None
        category = run.answers(oracles[0]).column("category").astype(np.int64)
        source = f"oracle: what the independent model {oracles[0].name} sees"
    return Truth(category, category == label, source)


def gate_confidence(run: Run) -> np.ndarray | None:
    """Return float "images": the gate's probability of the prompted category; None without a gate."""
    gates = run.setup.of_role("gate")
    return run.answers(gates[0]).column("label_probability") if gates else None


def people_ballot(run: Run) -> Ballot:
    """Return the votes of people or simulated workers, or what is still to be done for them."""
    config, votes = run.setup.config.qc, run.setup.votes
    assert votes is not None
    confidence, rules = gate_confidence(run), rules_of(config)
    passes = np.ones(len(run.mined), bool) if confidence is None else confidence >= config.min_confidence
    display = {category.name: category.display for category in run.setup.categories}
    others = run.unmined
    arm = arms_of(run.mined, passes, others)
    spared = sample(run.mined & ~passes, config.tasks.num_rejected, seed=config.tasks.seed)
    if not (votes.folder / TASKS_FILE).is_file():
        design = _design(run, run.mined & passes | spared, others)
        publish_tasks(votes.folder, run, design, display, arm=arm)
    tasks = open_tasks(votes.folder, run.pool.table["image_id"].tolist(), rules, arm=arm)
    if config.method in PEOPLE:
        write_options(votes.folder, {"page": config.page, "mturk": config.mturk})
    if config.method is QcMethod.simulated:
        truth = known_truth(run)
        assert truth is not None, "the config asks for an oracle"
        simulate_responses(votes.folder, tasks, rules, config.workers, _shown(run, truth))
    names = None if config.method is QcMethod.simulated else votes.names
    responses = [one.response for one in read_responses(votes.folder, tasks, names=names)]
    missing = missing_responses(tasks.tasks, responses, rules)
    image_ids = run.pool.table["image_id"].to_numpy()
    if missing:
        waiting = [slot.image_id for task in tasks.tasks if task.task_id in missing for slot in task.items]
        line = f"{sum(missing.values())} responses to {len(missing)} of {len(tasks.tasks)} tasks are missing"
        return Ballot((), tuple(waiting), line)
    counted = count_votes(tasks.tasks, responses, rules, config.aggregation)
    not_asked = frozenset(image_ids[run.mined & ~passes].tolist())
    judged = {slot.image_id for task in tasks.tasks for slot in task.items}
    sampling = sampling_of(arm, asked_images(tasks.tasks, image_ids.tolist()))
    chance = dict(zip(image_ids.tolist(), zip(arm, sampling.probability.tolist(), strict=True), strict=True))
    gate = None
    if confidence is not None:
        valid = np.isin(image_ids, list(counted.accepted))
        asked = np.isin(image_ids, list(judged))
        people = JudgedImages(sampling, asked, valid)
        shares = gate_shares(people, passes, confidence, mined=run.mined, others=others)
        gate = GateBefore(run.setup.of_role("gate")[0].name, sampling.sizes(), shares)
    unmined = [name for name in image_ids[~run.mined].tolist() if name in judged]
    return Ballot(
        _with_chances(counted.votes, chance),
        sampling=sampling,
        accepted=counted.accepted,
        not_asked=not_asked,
        summary=PeopleSummary(
            tasks=len(tasks.tasks),
            judged=len(judged),
            votes_folder=str(votes.folder),
            unmined_judged=len(unmined),
            unmined_accepted=sum(name in counted.accepted for name in unmined),
            votes=counted.statistics,
            hard_sentinels_from=_name_of(config.tasks.hard_votes),
            gate=gate,
        ),
        tables=counted.tables,
    )


def _with_chances(votes: Sequence[Vote], chance: Mapping[str, tuple[str, float]]) -> tuple[Vote, ...]:
    """Return the votes with the arm and the probability by which each image was asked about."""
    found = ((vote, *chance[vote.image_id]) for vote in votes)
    return tuple(
        dataclasses.replace(vote, arm=arm, inclusion_probability=asked) for vote, arm, asked in found
    )


def _name_of(folder: str | None) -> str | None:
    return None if folder is None else Path(folder).name


def _design(run: Run, judged: np.ndarray, others: np.ndarray) -> Design:
    categories, label = labels(run.pool)
    surrogates, tasks = run.setup.of_role("surrogate"), run.setup.config.qc.tasks
    image_ids, gold = run.pool.table["image_id"].tolist(), None
    if tasks.hard_votes is not None:
        gold = read_gold(Path(tasks.hard_votes), image_ids, share=tasks.hard_share)
        gold[run.pool.is_flagged] = 0
    pool = DesignPool(
        image_ids=image_ids,
        categories=categories,
        label=label,
        predicted=np.stack([run.answers(model).column("category") for model in surrogates]),
        correct=run.correct(surrogates) & ~run.pool.is_flagged,  # what is right for no model is no sentinel
        gold=gold,
    )
    return design_tasks(pool, judged, others, tasks)


def _shown(run: Run, truth: Truth) -> Mapping[str, str]:
    categories, _ = labels(run.pool)
    names = [*categories, ""]  # -1 is the last: something that nobody asks for
    ids = run.pool.table["image_id"].tolist()
    return {image_id: names[code] for image_id, code in zip(ids, truth.category.tolist(), strict=True)}


def valid_shares(run: Run, accepted: np.ndarray) -> KnownShares | None:
    """Return the shares of valid images before and after quality control; None where the truth is not known."""
    truth = known_truth(run)
    if truth is None:
        return None
    is_nuisance = (run.pool.table["kind"] != Kind.NEUTRAL).to_numpy()
    mined_valid = run.mined & truth.is_valid
    return KnownShares(
        truth=truth.source,
        valid_share_pool=_share(truth.is_valid, is_nuisance),
        valid_share_mined=_share(truth.is_valid, run.mined),
        valid_share_accepted=_share(truth.is_valid, accepted),
        valid_kept=_share(accepted, mined_valid),
    )


def _share(is_counted: np.ndarray, members: np.ndarray) -> float | None:
    return float(is_counted[members].mean()) if members.any() else None
