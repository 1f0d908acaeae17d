"""What quality control found: the records give the values of `summary.json`, and are read back from them."""

import json
from typing import Any

import pytest

from imagenetd.qc.summary import (
    GateBefore,
    GateCount,
    GateShares,
    GateSummary,
    KnownShares,
    MeasuredShare,
    PeopleSummary,
    QcSummary,
    VoteStatistics,
)
from imagenetd.reports.qc_lines import qc_lines

STATISTICS = VoteStatistics(
    aggregation="majority",
    minority_images=2,
    responses=16,
    responses_dropped=1,
    workers=2,
    votes=240,
    judgements=320,
    acceptance=0.97,
    acceptance_interval=(0.9, 0.99),
    pairwise_agreement=0.95,
    pairwise_agreement_interval=(0.9, 0.97),
    majority_agreement=0.96,
    majority_agreement_interval=(0.91, 0.98),
    alpha=None,
    alpha_interval=(None, None),
    of_all_votes=(0.96, None),
)
SHARES = GateShares(
    precision_mined=MeasuredShare(0.9, (0.8, 0.95), num_judged=30, num_images=60, votes="abc"),
    recall_mined=MeasuredShare(1.0, None, num_judged=60, num_images=60, votes="abc"),
    valid_mined=MeasuredShare(None, None, num_judged=0, why="3 of 9 images had no chance to be judged"),
    precision_pool=MeasuredShare(0.9, (0.8, 0.95), num_judged=30, num_images=60),
    recall_pool=MeasuredShare(None, None, num_judged=0, why="6 of 9 images had no chance to be judged"),
)
PEOPLE = QcSummary(
    "simulated",
    122,
    120,
    truth=KnownShares("exact", 0.99, 0.9, 0.98, None),
    votes=PeopleSummary(
        8, 122, "votes/1", 4, 3, STATISTICS, "hard", GateBefore("gate", {"mined": 9}, SHARES)
    ),
)
GATE = QcSummary(
    "auto",
    122,
    100,
    votes=GateSummary(
        *("tiny_gate", "clip", "platt", 40, ("local",)),
        GateCount(122, 100, 0.82),
        GateCount(0, 0, None),
        GateShares(),
        *(0.9, None),
    ),
)


@pytest.mark.parametrize("summary", [PEOPLE, GATE, QcSummary("none", 5, 5)])
def test_a_summary_is_read_back_from_json_as_it_was(summary: QcSummary) -> None:
    assert QcSummary.read(json.loads(json.dumps(summary.plain()))) == summary


def test_the_keys_of_votes_of_people_are_these() -> None:
    shares = {f"{share}_{of}" for share in ("precision", "recall", "valid") for of in ("mined", "pool")}
    measures = {"acceptance", "pairwise_agreement", "majority_agreement", "alpha"}
    expected = {"method", "num_mined", "num_accepted", "truth", "valid_kept"} | shares | measures
    expected |= {f"valid_share_{of}" for of in ("pool", "mined", "accepted")}
    expected |= {"tasks", "judged", "votes_folder", "unmined_judged", "unmined_accepted"}
    expected |= {"hard_sentinels_from", "gate_before_people", "arms", "aggregation", "minority_images"}
    expected |= {"responses", "responses_dropped", "workers", "votes", "judgements"}
    expected |= {f"{name}_interval" for name in measures} | {"acceptance_all_votes", "alpha_all_votes"}
    assert set(PEOPLE.plain()) == expected


def test_a_measured_share_says_for_which_images_it_holds_or_why_there_is_none() -> None:
    plain: dict[str, Any] = dict(PEOPLE.plain())
    assert plain["precision_mined"] == {
        "value": 0.9,
        "interval": [0.8, 0.95],
        "for": "these images",
        "num_judged": 30,
        "num_images": 60,
        "votes": "abc",
    }
    assert plain["recall_pool"] == {
        "value": None,
        "interval": None,
        "num_judged": 0,
        "why": "6 of 9 images had no chance to be judged",
    }
    assert plain["valid_pool"] is None and GATE.plain()["precision_pool"] is None
    assert GATE.plain()["gate_accepts_mined"] == {"images": 122, "accepted": 100, "share": 0.82}


def test_the_terminal_says_what_was_found() -> None:
    lines = [line.strip() for line in qc_lines(PEOPLE.plain())]
    assert lines[0].startswith(
        "valid images: 99.0% of the pool, 90.0% of the mined, 98.0% of the accepted (-"
    )
    assert lines[1].startswith("acceptance 97.0% [90.0, 99.0], pairwise agreement 95.0% [90.0, 97.0]")
    assert lines[3].startswith(
        "16 responses of 2 workers to 8 tasks, 1 dropped by sentinels; 240 votes on 122"
    )
    assert lines[5] == (
        "precision: 90.0% [80.0, 95.0] (30 of 60 judged, these images) of the mined images that pass are valid"
    )
    gate = [line.strip() for line in qc_lines(GATE.plain())]
    assert gate[0] == ("gate tiny_gate accepts 100 of the 122 mined images (82.0%), 0 of the 0 others (-)")
    assert qc_lines({}) == []
