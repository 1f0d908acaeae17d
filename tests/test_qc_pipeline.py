"""Quality control inside a run: simulated crowds, people who are waited for, the gate, and what it all will cost."""

import collections
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image

from imagenetd.config.qc import WorkersConfig, check_together
from imagenetd.config.schema import CONF_DIR, Config, StageName
from imagenetd.errors import ConfigError, StoreError
from imagenetd.pipeline import Outcome
from imagenetd.qc.simulate import answer_task, hire
from imagenetd.qc.tasks import SlotRole
from imagenetd.qc.votes_folder import image_bytes, read_tasks, write_response
from imagenetd.stages.setup import make_setup
from tests.test_pipeline import FAKE, config, run, summary

# One classifier of mean colours confuses everything; a negative is then any image that it gets right.
TASKS = ["qc.tasks.max_confusion=1.0", "qc.tasks.images_per_task=16", "qc.tasks.workers_per_image=5"]
PLANTED = ["generator=planted", "generator@generator.inner=render", "generator.share=0.3"]
GATE = {"_target_": FAKE, "name": "gate", "seed": 7, "family": "gate"}
CAREFUL = WorkersConfig(20, 1.0, 0.0, 0.0, 0.0, careful_accuracy=1.0, careless_accuracy=1.0, seed=0)


def people(folder: Path, *overrides: str, method: str = "local", **changes: Any) -> Config:
    made = config(folder, f"qc={method}", *TASKS, *overrides, num_surrogates=1, **changes)
    if method == "simulated":
        made.qc.oracle = None
    return made


def answer_all(waiting: Outcome, *, truth: dict[str, str], num_workers: int) -> None:
    """Let careful people answer every task, as a page or a form would deliver it."""
    tasks = read_tasks(waiting.folder)
    for task in tasks.tasks:
        for number, worker in enumerate(hire(CAREFUL)[:num_workers]):
            response = answer_task(worker, task, truth, seed=0)
            write_response(waiting.folder, task, response, received_s=float(number))


def shown(folder: Path) -> dict[str, str]:
    """Return what the renderer drew for each image of the only pool: every fourth row is declared another object."""
    table = pd.read_parquet(next((folder / "pools").iterdir()) / "manifest.parquet")
    failures = pd.read_parquet(next((folder / "mined").iterdir()) / "failures.parquet")
    wrong = failures["is_shared"] & (table["index"] % 4 == 0)
    return dict(zip(table["image_id"], np.where(wrong, "umbrella", table["category"]), strict=True))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run(people(tmp_path_factory.mktemp("runs"), *PLANTED, method="simulated"))


def test_simulated_people_raise_the_share_of_valid_images_to_97_percent(simulated: Outcome) -> None:
    qc = summary(simulated)["qc"]
    assert qc["truth"].startswith("exact")
    assert 0.4 < qc["valid_share_mined"] < 0.8
    assert qc["valid_share_accepted"] >= 0.97 and qc["valid_kept"] >= 0.97
    assert qc["responses_dropped"] > 0
    assert 0 < qc["acceptance"] < qc["pairwise_agreement"] < 1 and 0.5 < qc["alpha"] <= 1


def test_the_numbers_are_printed_below_the_stage(simulated: Outcome) -> None:
    qc = next(result for result in simulated.results if result.stage == "qc")
    assert "of the mined" in qc.details[0] and "truth exact" in qc.details[0]
    assert qc.details[1].strip().startswith("acceptance ") and "pairwise agreement" in qc.details[1]
    assert "alpha" in qc.details[2]
    assert "dropped by sentinels" in qc.details[3]


def test_dropped_responses_and_workers_are_listed_with_reasons(simulated: Outcome) -> None:
    qc = next(result for result in simulated.results if result.stage == "qc")
    dropped = pd.read_csv(Path(qc.folder) / "dropped.csv")
    workers = pd.read_csv(Path(qc.folder) / "workers.csv")
    found = summary(simulated)["qc"]
    assert len(dropped) == found["responses_dropped"] and dropped["reason"].str.len().min() > 10
    assert workers["responses"].sum() == found["responses"]
    assert workers["dropped"].sum() == found["responses_dropped"]


def test_an_image_rejected_by_people_keeps_its_row_and_reason(simulated: Outcome) -> None:
    qc = next(result for result in simulated.results if result.stage == "qc")
    decisions = pd.read_parquet(Path(qc.folder) / "decisions.parquet")
    assert set(decisions["reason"]) == {"accepted", "rejected by vote", "not mined"}
    votes = pd.read_parquet(Path(qc.folder) / "votes.parquet")
    assert set(votes.groupby("image_id").size()) == {5}
    assert set(votes["image_id"]) == set(decisions["image_id"][decisions["is_mined"]])


def test_a_run_waits_for_people_and_goes_on_when_their_votes_are_there(tmp_path: Path) -> None:
    waiting = run(people(tmp_path))
    assert waiting.status == "waiting for votes"
    assert [result.stage for result in waiting.results][-1] == "qc"
    assert "python -m imagenetd.qc.annotate" in waiting.results[-1].details[0]
    assert str(waiting.folder) in waiting.results[-1].details[0]
    answer_all(waiting, truth=shown(tmp_path), num_workers=4)
    still = run(people(tmp_path))
    tasks = read_tasks(waiting.folder).tasks
    assert (
        f"{len(tasks)} responses to {len(tasks)} of {len(tasks)} tasks are missing" in still.results[-1].note
    )
    answer_all(waiting, truth=shown(tmp_path), num_workers=5)
    done = run(people(tmp_path))
    assert done.status == "done"
    found = summary(done)
    wrong = sum(name == "umbrella" for name in shown(tmp_path).values())
    assert found["qc"]["method"] == "local" and found["mined"] - found["accepted"] == wrong > 0


def test_votes_outlive_a_change_of_counting_and_more_votes_make_a_new_result(tmp_path: Path) -> None:
    waiting = run(people(tmp_path))
    answer_all(waiting, truth=shown(tmp_path), num_workers=5)
    first = run(people(tmp_path))
    stricter = run(people(tmp_path, "qc.aggregation.min_share=0.9", method="form"))
    assert stricter.status == "done" and stricter.folder != first.folder
    answer_all(waiting, truth=shown(tmp_path), num_workers=6)
    again = run(people(tmp_path))
    assert summary(again)["qc"]["responses"] > summary(first)["qc"]["responses"]
    assert again.folder != first.folder and (first.folder / "summary.json").is_file()


def test_a_gate_before_people_shows_them_less(tmp_path: Path) -> None:
    made = people(tmp_path, "qc.min_confidence=0.3", "qc.tasks.num_rejected=0")
    made.qc.gate = GATE
    waiting = run(made)
    items = [slot.image_id for task in read_tasks(waiting.folder).tasks for slot in task.items]
    mined = next(result for result in waiting.results if result.stage == "mine").counts["mined"]
    assert 0 < len(items) < mined
    answer_all(waiting, truth=shown(tmp_path), num_workers=5)
    done = run(made)
    folder = next(result for result in done.results if result.stage == "qc").folder
    reasons = collections.Counter(pd.read_parquet(Path(folder) / "decisions.parquet")["reason"])
    assert reasons["rejected by gate"] == mined - len(items)


def test_random_unmined_images_are_judged_but_never_accepted(tmp_path: Path) -> None:
    found = summary(run(people(tmp_path, "qc.tasks.num_unmined=5", method="simulated")))
    assert found["qc"]["unmined_judged"] == 5
    assert found["accepted"] <= found["mined"] == found["qc"]["judged"] - 5


def test_the_gate_reports_a_random_slice_and_claims_no_precision_without_people(tmp_path: Path) -> None:
    made = config(tmp_path, "qc=auto", "qc.calibration.num_unmined=10")
    made.qc.gate = GATE
    qc = summary(run(made))["qc"]
    assert (qc["precision_pool"], qc["human_votes_on"]) == (None, 0)
    mined, others = qc["gate_accepts_mined"], qc["gate_accepts_unmined"]
    assert (
        mined["images"] == qc["num_mined"] and "interval" not in others
    )  # the gate has judged them all: a count
    assert others["share"] == others["accepted"] / others["images"]
    assert 0 < qc["gate_claims_pool"] < 1


def test_human_votes_calibrate_the_gate_and_measure_its_precision(tmp_path: Path) -> None:
    waiting = run(people(tmp_path, "qc.tasks.num_unmined=8"))
    answer_all(waiting, truth=shown(tmp_path), num_workers=5)
    judged = summary(run(people(tmp_path, "qc.tasks.num_unmined=8")))["qc"]["judged"]
    made = config(tmp_path, "qc=auto", "qc.calibration.min_images=10", num_surrogates=1)
    made.qc.gate = GATE
    qc = summary(run(made))["qc"]
    assert (qc["human_votes_on"], qc["votes_from"], qc["calibration"]) == (judged, ["local"], "platt")
    assert (
        qc["gate_accepts_unmined"]["share"] == 1.0 and qc["recall_pool"]["interval"] is None
    )  # it rejects none
    for name in ("precision_pool", "valid_pool"):
        low, high = qc[name]["interval"]
        assert low <= qc[name]["value"] <= high and low < high and qc[name]["for"] == "these images"
    for name in ("precision_mined", "recall_mined", "valid_mined"):  # people have judged all mined images
        assert qc[name]["interval"] is None and qc[name]["num_judged"] == qc[name]["num_images"]
    wrong = sum(name == "umbrella" for name in shown(tmp_path).values())
    assert qc["valid_mined"]["value"] == pytest.approx(1 - wrong / qc["num_mined"], abs=1e-6)


def test_votes_of_other_surrogates_count_by_their_own_arms_and_edited_probabilities_are_refused(
    tmp_path: Path,
) -> None:
    waiting = run(people(tmp_path, "qc.tasks.num_unmined=8"))
    answer_all(waiting, truth=shown(tmp_path), num_workers=5)
    outcome = run(people(tmp_path, "qc.tasks.num_unmined=8"))
    folder = Path(next(result for result in outcome.results if result.stage == "qc").folder)
    decisions = pd.read_parquet(folder / "decisions.parquet")
    chances = decisions.groupby("arm")["inclusion_probability"].unique().map(list).to_dict()
    sizes = decisions["arm"].value_counts()
    assert chances["mined"] == [1.0] and chances["unmined"] == [8 / sizes["unmined"]]
    votes = pd.read_parquet(folder / "votes.parquet")
    assert set(votes["arm"]) == {"mined", "unmined"} and votes["inclusion_probability"].between(0, 1).all()
    tasks = json.loads((waiting.folder / "tasks.json").read_text())
    assert {one["arm"] for one in tasks["sampling"].values()} == {"mined", "unmined", "sentinel"}

    made = config(tmp_path, "qc=auto", "qc.calibration.min_images=10", num_surrogates=2)  # another mined set
    made.qc.gate = GATE
    qc = summary(run(made))["qc"]
    assert qc["num_mined"] < sizes["mined"]
    assert qc["precision_pool"]["interval"] is not None

    first = decisions.index[decisions["arm"] == "unmined"][0]
    decisions.loc[first, "inclusion_probability"] = 0.9
    decisions.to_parquet(folder / "decisions.parquet")
    with pytest.raises(StoreError, match=r"decisions\.parquet"):
        run(made)


def test_people_see_a_sample_of_what_the_gate_rejects_and_its_recall_is_estimated(tmp_path: Path) -> None:
    made = people(tmp_path, "qc.min_confidence=0.3", "qc.tasks.num_rejected=4", "qc.tasks.num_unmined=6")
    made.qc.gate = GATE
    waiting = run(made)
    arms = collections.Counter(one.arm for one in read_tasks(waiting.folder).sampling.values())
    assert (arms["rejected_by_gate"], arms["unmined"]) == (4, 6) and arms["mined"] > 0
    answer_all(waiting, truth=shown(tmp_path), num_workers=5)
    done = run(made)
    qc = summary(done)["qc"]
    assert qc["precision_mined"]["interval"] is None  # people have judged all that the gate keeps
    low, high = qc["recall_mined"]["interval"]
    assert 0 < low < high <= 1  # 4 of those that it rejects are judged
    assert qc["recall_pool"]["num_judged"] == arms["mined"] + 10
    folder = Path(next(result for result in done.results if result.stage == "qc").folder)
    decisions = pd.read_parquet(folder / "decisions.parquet")
    assert not decisions["is_accepted"][decisions["arm"] == "rejected_by_gate"].any()


def test_hard_images_that_votes_settled_become_sentinels_and_enter_no_estimate(tmp_path: Path) -> None:
    ten = "qc.tasks.workers_per_image=10"
    waiting = run(people(tmp_path, ten))
    answer_all(waiting, truth=shown(tmp_path), num_workers=10)
    truth = shown(tmp_path)
    settled = Path(next(one for one in run(people(tmp_path, ten)).results if one.stage == "qc").folder)

    hard = ["qc.tasks.num_hard_positive=1", "qc.tasks.num_hard_negative=1", f"qc.tasks.hard_votes={settled}"]
    made = people(tmp_path, "qc.tasks.images_per_task=40", *hard)
    made.surrogates = {"s5": {"_target_": FAKE, "name": "s5", "seed": 5}}  # other images are hard for it
    asked = run(made)
    tasks = read_tasks(asked.folder)
    slots = [slot for task in tasks.tasks for slot in task.slots]
    gold = {
        slot.image_id: slot for slot in slots if slot.role in (SlotRole.HARD_POSITIVE, SlotRole.HARD_NEGATIVE)
    }
    assert len(gold) == 2 * len(tasks.tasks) > 0
    for slot in gold.values():
        assert (truth[slot.image_id] == slot.category) == (slot.role is SlotRole.HARD_POSITIVE)
        assert tasks.sampling[slot.image_id].arm == "sentinel"
    before = pd.read_parquet(settled / "decisions.parquet").set_index("image_id")
    assert before.loc[list(gold), "is_mined"].all()

    answer_all(asked, truth=truth, num_workers=5)
    done = run(made)
    assert summary(done)["qc"]["hard_sentinels_from"] == settled.name
    folder = Path(next(one for one in done.results if one.stage == "qc").folder)
    assert set(pd.read_parquet(folder / "votes.parquet")["image_id"]).isdisjoint(gold)
    decisions = pd.read_parquet(folder / "decisions.parquet").set_index("image_id")
    assert (decisions.loc[list(gold), "inclusion_probability"] == 0).all()
    assert not decisions.loc[list(gold), "is_accepted"].any()


def test_hard_sentinels_need_a_finished_folder_with_votes_of_people(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hard sentinels need both a number above 0 and the folder"):
        make_setup(people(tmp_path, "qc.tasks.num_hard_positive=1"))
    with pytest.raises(ConfigError, match="hard sentinels need both a number above 0 and the folder"):
        make_setup(people(tmp_path, f"qc.tasks.hard_votes={tmp_path}"))
    hard = ["qc.tasks.num_hard_positive=1", f"qc.tasks.hard_votes={tmp_path}"]
    with pytest.raises(
        ConfigError, match=r"qc\.tasks\.hard_votes=.* is no finished folder of quality control"
    ):
        make_setup(people(tmp_path, *hard))


def test_a_gate_of_the_family_of_a_surrogate_or_target_is_refused(tmp_path: Path) -> None:
    made = config(tmp_path, "qc=auto")
    made.qc.gate = GATE | {"family": "fake"}
    message = r"qc\.gate \(gate\) and surrogates\.s0 \(s0\) are both of the family 'fake'"
    with pytest.raises(ConfigError, match=message):
        make_setup(made)
    made.qc.gate = GATE | {"family": "other"}
    made.target = made.target | {"family": "other"}
    with pytest.raises(ConfigError, match=r"and target \(t\) are both of the family 'other'"):
        make_setup(made)


def test_simulated_people_without_a_known_truth_are_refused(tmp_path: Path) -> None:
    made = config(tmp_path, "qc=simulated", "generator=tiny")
    made.qc.oracle = None
    with pytest.raises(ConfigError, match=r"qc=simulated needs the truth, .* target@qc\.oracle=NAME"):
        make_setup(made)


def test_votes_of_no_finished_folder_are_refused(tmp_path: Path) -> None:
    made = config(tmp_path, "qc=auto", f"qc.calibration.votes={tmp_path}")
    made.qc.gate = GATE
    with pytest.raises(ConfigError, match="is no finished folder of quality control"):
        make_setup(made)


def test_the_plan_costs_every_k_and_runs_only_when_it_is_asked_for(tmp_path: Path) -> None:
    done = run(config(tmp_path))
    assert "plan" not in [result.stage for result in done.results]
    outcome = run(config(tmp_path, "planning.votes_per_image=[3]", stages=[StageName.plan]))
    table = pd.read_csv(outcome.folder)
    assert table["min_failures"].tolist() == [1, 2, 3]
    assert table["mined"].iloc[2] == summary(done)["mined"]
    assert (table["mined"].diff().dropna() <= 0).all()
    assert any("coin-flipper" in line for line in outcome.results[-1].details)


def test_a_plan_without_predictions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="stages has plan without prompts"):
        run(config(tmp_path, stages=[StageName.plan]))


def test_planted_images_are_told_to_nobody_but_the_truth(tmp_path: Path) -> None:
    made = people(tmp_path, *PLANTED, stages=[StageName.prompts, StageName.generate], method="simulated")
    plan = make_setup(made)
    assert plan.images.rows is not None and plan.images.generator is not None
    truth = plan.images.generator.shown_category(plan.images.rows)
    assert truth is not None
    planted = [row.category != real for row, real in zip(plan.images.rows, truth, strict=True)]
    assert np.mean(planted) == pytest.approx(0.3, abs=4 * (0.3 * 0.7 / len(planted)) ** 0.5)
    pool = Path(run(made).folder)
    manifest = (pool / "manifest.parquet").read_bytes()
    assert pd.read_parquet(pool / "manifest.parquet")["category"].tolist() == list(
        row.category for row in plan.images.rows
    )
    assert b"planted" not in manifest
    assert json.loads((pool / "stage.json").read_text())["num_images"] == len(planted)


def test_a_killed_simulation_ends_like_a_straight_one(tmp_path: Path) -> None:
    straight, killed = (people(tmp_path / name, method="simulated") for name in ("straight", "killed"))
    expected = Path(next(r for r in run(straight).results if r.stage == "qc").folder)
    run(killed)
    (votes,) = (tmp_path / "killed" / "votes").iterdir()
    for path in sorted((votes / "responses").iterdir())[::2]:
        path.unlink()
    for path in (tmp_path / "killed" / "qc").glob("*/*"):
        path.unlink()
    again = Path(next(r for r in run(killed).results if r.stage == "qc").folder)
    for name in ("votes.parquet", "decisions.parquet", "dropped.csv"):
        assert (again / name).read_bytes() == (expected / name).read_bytes()


def test_people_can_judge_images_that_exist_already(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(72):
        path = tmp_path / "images" / ("banana", "mug", "sock")[number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(path)
    data = ["data=folder", f"data.root={tmp_path / 'images'}"]
    made = people(tmp_path / "runs", *data, stages=[StageName.predict, StageName.mine, StageName.qc])
    waiting = run(made)
    assert waiting.status == "waiting for votes"
    tasks = read_tasks(waiting.folder)
    files = {path.read_bytes() for path in (tmp_path / "images").rglob("*.png")}
    shown = {slot.image_id for task in tasks.tasks for slot in task.slots}
    assert shown and {image_bytes(waiting.folder, tasks.images[name]) for name in shown} <= files


def test_nothing_mined_asks_nobody(tmp_path: Path) -> None:
    stages = [StageName.prompts, StageName.generate, StageName.predict, StageName.mine, StageName.qc]
    made = people(tmp_path, method="simulated", stages=stages)
    made.surrogates = {f"s{n}": {"_target_": FAKE, "name": f"s{n}", "seed": n} for n in range(12)}
    qc = run(made).results[-1]
    assert (qc.stage, qc.num_items, qc.details[1].strip()[:11]) == ("qc", 0, "acceptance ")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("qc.tasks.workers_per_image=0", "qc.tasks.workers_per_image=0 must be 1 or more"),
        ("qc.tasks.num_consistency=-1", "qc.tasks.num_consistency=-1 must be 0 or more"),
        (
            "qc.aggregation.min_share=1.5",
            "qc.aggregation.min_share=1.5 must be below 1",
        ),
        ("qc.stopping.threshold=0.5", "qc.stopping.threshold=0.5 must be above 0.5"),
        ("planning.votes_per_image=[3,0]", "planning.votes_per_image=0 must be 1 or more"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(tmp_path: Path, option: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_setup(config(tmp_path, option))


CHOICES = sorted(
    f"{path.parent.relative_to(CONF_DIR)}={path.stem}"
    for folder in ("qc", "planning")
    for path in (CONF_DIR / folder).rglob("*.yaml")
)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_of_quality_control_composes_and_opens_with_a_sentence(choice: str) -> None:
    group, _, name = choice.partition("=")
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        made: Any = OmegaConf.to_object(compose("config", overrides=[choice, "name=test"]))
    check_together(made.qc)
    first = (CONF_DIR / group / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ") and first.endswith(".")
