"""Tables, plot, CSV logger and the comparison of a sweep, on hand-made scores."""

import io
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console

from imagenetd.records import Score
from imagenetd.reports.sweep_table import comparison_table, comparison_view
from imagenetd.reports.tables import build_tables, cost, extreme, held_together, write_csv
from imagenetd.reports.tables_report import TablesReport
from imagenetd.reports.terminal import cost_line, drop_cell, interval_cell
from imagenetd.reports.trackers.csv_logger import CsvLogger, NoLogger
from imagenetd.reports.trackers.run_report import FailureCard, RunReport
from imagenetd.scoring.counts import Mark, count_answers, score_rows
from tests import simulated

MINED = np.array([True, True, False, False, True, False, False, False])
ACCEPTED = np.array([True, False, False, False, True, False, False, False])


def _scores(sets: tuple[str, ...] = ("pool", "mined", "accepted")) -> list[Score]:
    """Eight images: four on the beach, four with a grid; a surrogate, a gate and two targets."""
    correct = np.array(
        [~MINED, np.ones(8, bool), [0, 1, 1, 1, 0, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0, 0]], dtype=bool
    )
    masks = {
        "pool": np.ones(8, bool),
        "pool_accepted": ~MINED | ACCEPTED,
        "mined": MINED,
        "accepted": ACCEPTED,
    }
    return simulated.scores(
        correct,
        models=[("clip", "surrogate"), ("oracle", "gate"), ("net", "target"), ("vit", "target")],
        kinds=["background"] * 4 + ["texture"] * 4,
        nuisances=["beach-s"] * 4 + ["grid"] * 4,
        sets={name: masks[name] for name in sets},
    )


def _printed(*renderables: object, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    for renderable in renderables:
        console.print(renderable)
    return console.file.getvalue()


def test_the_nuisance_table_has_one_row_for_each_target_and_nuisance() -> None:
    table = build_tables(_scores())["per_nuisance"]
    keys = [
        "model",
        "kind",
        "nuisance",
        "pool_accuracy",
        "mined_accuracy",
        "accepted_accuracy",
        "mined_num_images",
    ]
    assert table[keys].values.tolist() == [
        ["net", "background", "beach-s", 0.75, 0.5, 0.0, 2],
        ["net", "texture", "grid", 0.75, 0.0, 0.0, 1],
        ["vit", "background", "beach-s", 1.0, 1.0, 1.0, 2],
        ["vit", "texture", "grid", 0.0, 0.0, 0.0, 1],
    ]


def test_the_sets_stand_side_by_side_with_their_counts_and_intervals() -> None:
    names = ["accuracy", "num_images", "num_correct", "wilson_low", "wilson_high"]
    expected = [f"{group}_{name}" for group in ("pool", "mined", "accepted") for name in names]
    columns = list(build_tables(_scores())["per_nuisance"].columns)
    drops = [f"drop_{end}{part}" for end in ("mined", "accepted") for part in ("", "_low", "_high")]
    assert columns == ["model", "role", "kind", "nuisance", *expected, *drops, "interval_for"]


def test_surrogates_and_gate_are_never_in_a_table_with_targets() -> None:
    tables = build_tables(_scores())
    assert set(tables["overall"]["model"]) == {"net", "vit"}
    assert set(tables["per_nuisance"]["model"]) == {"net", "vit"}
    assert set(tables["surrogates"]["model"]) == {"clip", "oracle"}


def test_the_overall_table_starts_with_the_total_and_has_its_drop() -> None:
    row = build_tables(_scores())["overall"].iloc[0]
    assert (row["model"], row["kind"], row["pool_accuracy"]) == ("net", "all", 0.75)
    assert row["drop_mined"] == pytest.approx(0.75 - 1 / 3)
    assert row["drop_accepted"] == pytest.approx(0.75 - 0.0)


def test_where_the_gate_saw_the_whole_pool_the_drop_compares_gated_images_with_gated_images() -> None:
    row = build_tables(_scores(("pool", "pool_accepted", "mined", "accepted")))["overall"].iloc[0]
    assert row["pool_accepted_num_images"] == 7
    assert row["drop_accepted"] == pytest.approx(5 / 7)


def test_without_quality_control_there_is_no_accepted_column() -> None:
    tables = build_tables(_scores(("pool", "mined")))
    assert not [name for name in tables["overall"] if "accepted" in name]
    assert list(tables["yields"].columns) == [
        *("kind", "nuisance", "num_pool", "num_mined", "hard_yield", "hard_yield_low", "hard_yield_high"),
        "interval_for",
    ]
    assert (
        set(tables["yields"]["interval_for"])
        == set(tables["overall"]["interval_for"])
        == {"these categories"}
    )


def test_the_highest_of_many_yields_has_an_interval_for_all_of_them_at_once() -> None:
    cells = pd.DataFrame({"nuisance": list("abcde"), "num_pool": [48] * 5, "num_mined": [3, 19, 5, 0, 6]})
    cells["hard_yield"] = cells["num_mined"] / cells["num_pool"]
    highest, lowest = (extreme(cells, highest=is_highest) for is_highest in (True, False))
    assert highest is not None and lowest is not None
    assert (highest.nuisance, lowest.nuisance) == ("b", "d")
    # Wilson at 0.95^(1/5) = 98.98%, z = 2.569, for 19 and 0 of 48; alone they are [27, 54] and [0, 7.4].
    assert (highest.low, highest.high) == pytest.approx((0.2379, 0.5789), abs=1e-4)
    assert (lowest.low, lowest.high) == pytest.approx((0.0, 0.1209), abs=1e-4)


def test_rows_that_were_chosen_by_their_numbers_get_wider_intervals() -> None:
    rows = build_tables(_scores())["per_nuisance"]
    held = held_together(rows, num_compared=20)
    assert (held["pool_wilson_low"] <= rows["pool_wilson_low"]).all()
    assert (held["pool_wilson_high"] >= rows["pool_wilson_high"]).all()
    assert not held["pool_wilson_low"].equals(rows["pool_wilson_low"])


def test_a_drop_on_two_images_is_dim_and_says_how_little_is_known() -> None:
    row = {
        "drop_accepted": -0.073,
        "drop_accepted_low": -0.10,
        "drop_accepted_high": 0.58,
        "accepted_num_images": 2,
    }
    cell = drop_cell(row, "drop_accepted", min_images=5)
    assert cell.plain == "-7.3 [-10,58]" and cell.style == "dim"


def test_yields_are_shares_of_the_pool_and_of_the_mined_images() -> None:
    table = build_tables(_scores())["yields"]
    keys = ["kind", "nuisance", "num_pool", "num_mined", "num_accepted", "hard_yield", "acceptance"]
    assert table[keys].values.tolist() == [
        ["all", "all", 8, 3, 2, 0.375, 2 / 3],
        ["background", "all", 4, 2, 1, 0.5, 0.5],
        ["texture", "all", 4, 1, 1, 0.25, 1.0],
        ["background", "beach-s", 4, 2, 1, 0.5, 0.5],
        ["texture", "grid", 4, 1, 1, 0.25, 1.0],
    ]


def test_yields_are_of_all_images_whatever_counts_for_a_model() -> None:
    images = pd.DataFrame({"kind": ["texture"] * 4, "nuisance": "grid", "category": "mug"})
    everything, known = np.ones(4, bool), np.array([True, True, False, False])
    sets = {"pool": everything, "mined": np.array([False, True, True, True])}
    scores, sizes = (
        score_rows(count_answers(images, [Mark("chat", "surrogate", "", known, counted)], sets))
        for counted in (known, everything)
    )
    rows = build_tables(scores, sizes=sizes)["yields"]
    assert rows[["num_pool", "num_mined", "hard_yield"]].iloc[0].tolist() == [4, 3, 0.75]


def test_cost_pays_for_everything_up_to_its_stage() -> None:
    seconds = {"prompts": 1.0, "generate": 79.0, "predict": 15.0, "mine": 1.0, "qc": 4.0, "evaluate": 50.0}
    assert cost(seconds, {"pool": 80, "mined": 12, "accepted": 10}) == {
        "seconds_per_generated_image": 1.0,
        "seconds_per_mined_image": 8.0,
        "seconds_per_accepted_image": 10.0,
    }


def test_no_mined_image_has_no_cost() -> None:
    costs = cost({"generate": 8.0}, {"pool": 8, "mined": 0})
    assert costs["seconds_per_mined_image"] is None
    assert cost_line(costs).plain == "cost: 1 s per generated image"


def test_a_csv_reads_back_to_the_same_numbers(tmp_path: Path) -> None:
    table = build_tables(_scores())["per_nuisance"]
    path = write_csv(table, tmp_path / "tables" / "per_nuisance.csv")
    pd.testing.assert_frame_equal(pd.read_csv(path), table, check_exact=True, check_dtype=False)


def test_an_accuracy_is_written_with_interval_and_count() -> None:
    assert interval_cell(0.712, 0.654, 0.771, 480, min_images=5).plain == "71.2  [65,77] 480"
    assert interval_cell(math.nan, 0.0, 1.0, 0, min_images=5).plain == "-"
    assert (
        interval_cell(1.0, 0.99602, 1.0, 960, min_images=5).plain == "100 [99.6,100] 960"
    )  # never without width
    assert interval_cell(0.0, 0.0, 0.0041, 930, min_images=5).plain == "0.0  [0,0.4] 930"


def test_an_accuracy_of_few_images_is_dim() -> None:
    assert interval_cell(0.5, 0.15, 0.85, 4, min_images=5).style == "dim"
    assert interval_cell(0.5, 0.18, 0.82, 5, min_images=5).style == ""


def _report(folder: Path, sets: tuple[str, ...], **options: object) -> list[object]:
    costs = cost({"generate": 8.0}, {"pool": 8, "mined": 3, "accepted": 2})
    return TablesReport(**options).write(_scores(sets), folder, costs=costs)


def test_the_terminal_shows_every_nuisance_within_100_columns(tmp_path: Path) -> None:
    text = _printed(*_report(tmp_path, ("pool", "pool_accepted", "mined", "accepted"), plot=False))
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "net (target) by nuisance" in lines
    assert "beach-s 75.0 [30,95] 4 50.0 [9,91] 2 0.0 [0,79] 1" in lines
    assert "all 75.0 [41,93] 8 71.4 [36,92] 7 33.3 [6,79] 3 0.0 [0,66] 2 71.4" in lines
    assert "[8,92]" in lines
    assert "all 8 3 2 37.5 [14,69] 66.7 [21,94] beach-s grid" in lines
    assert "50.0 [13,87] 4 25.0 [4,74] 4" in lines
    assert "these categories" in text
    assert "cost: 1 s per generated, 2.67 s per mined, 4 s per accepted image" in lines


def test_a_large_kind_shows_only_its_lowest_nuisances(tmp_path: Path) -> None:
    scores = simulated.scores(
        np.array([[True, False, True]]),
        models=[("net", "target")],
        kinds=["texture"] * 3,
        nuisances=["grid", "striped", "woven"],
        sets={"pool": np.ones(3, bool)},
    )
    report = TablesReport(max_rows_per_kind=1, plot=False)
    text = _printed(*report.write(scores, tmp_path, costs=cost({}, {"pool": 3})))
    assert "texture, lowest 1 of 3" in text
    assert "striped" in text
    assert "woven" not in text
    assert len(pd.read_csv(tmp_path / "per_nuisance.csv")) == 3


def test_the_report_writes_tables_and_a_plot_of_each_target(tmp_path: Path) -> None:
    _report(tmp_path, ("pool", "mined", "accepted"))
    names = [
        "overall.csv",
        "per_nuisance.csv",
        "per_nuisance.png",
        "per_nuisance_vit.png",
        "surrogates.csv",
        "yields.csv",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    with Image.open(tmp_path / "per_nuisance.png") as plot:
        assert plot.format == "PNG"
        assert np.asarray(plot.convert("L")).std() > 5


def test_a_plot_of_a_pool_in_which_nothing_was_mined_can_be_drawn(tmp_path: Path) -> None:
    scores = simulated.scores(
        np.ones((1, 2), bool),
        models=[("net", "target")],
        kinds=["neutral", "texture"],
        nuisances=["", "grid"],
        sets={"pool": np.ones(2, bool), "mined": np.zeros(2, bool)},
    )
    shown = TablesReport().write(scores, tmp_path, costs=cost({}, {"pool": 2, "mined": 0}))
    assert (tmp_path / "per_nuisance.png").stat().st_size > 1000
    assert "nan" not in _printed(*shown)


def _summary(target: str, mined: float | None) -> dict[str, object]:
    pool = {
        "accuracy": 0.9,
        "num_images": 100,
        "num_correct": 90,
        "wilson_low": 0.8256,
        "wilson_high": 0.9448,
    }
    hard = {"accuracy": mined, "num_images": 10, "num_correct": 4, "wilson_low": 0.17, "wilson_high": 0.69}
    return {
        "name": f"tiny-{target}",
        "num_images": {"pool": 100, "mined": 10},
        "surrogates": ["tiny_clip_vit", "tiny_clip_rn"],
        "target": target,
        "mining": {"min_failures": 2},
        "models": {target: {"role": "target", "accuracy": {"pool": pool, "mined": hard}}},
    }


def test_the_comparison_has_one_row_for_each_job() -> None:
    overrides = [["surrogates=two_tiny", "target=net"], ["surrogates=two_tiny", "target=vit"]]
    table = comparison_table([_summary("net", 0.4), _summary("vit", 0.5)], overrides=overrides)
    keys = [
        "job",
        "overrides",
        "surrogates",
        "min_failures",
        "target",
        "num_mined",
        "pool_accuracy",
        "mined_accuracy",
    ]
    surrogates = "tiny_clip_vit tiny_clip_rn"
    assert table[keys].values.tolist() == [
        [0, "surrogates=two_tiny target=net", surrogates, 2, "net", 10, 0.9, 0.4],
        [1, "surrogates=two_tiny target=vit", surrogates, 2, "vit", 10, 0.9, 0.5],
    ]
    assert table["drop"].tolist() == [pytest.approx(0.5), pytest.approx(0.4)]


def test_the_comparison_has_a_row_for_each_target_of_a_job_and_keeps_the_job_numbers() -> None:
    both = _summary("net", 0.4)
    both["models"] = {**both["models"], **_summary("vit", 0.5)["models"]}  # type: ignore[dict-item]
    both["targets"] = {"net": {}, "vit": {}}
    table = comparison_table([_summary("net", 0.1), both], numbers=[0, 2])
    assert table[["job", "target", "mined_accuracy"]].values.tolist() == [
        [0, "net", 0.1],
        [2, "net", 0.4],
        [2, "vit", 0.5],
    ]


def test_the_comparison_is_readable_at_100_columns() -> None:
    overrides = [["surrogates=two_tiny", "target=net"], ["surrogates=two_tiny", "target=vit"]]
    text = _printed(
        comparison_view(comparison_table([_summary("net", 0.4), _summary("vit", None)], overrides=overrides))
    )
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert max(map(len, text.splitlines())) <= 100
    assert "0 surrogates=two_tiny net 2/2 90.0 [83,94] 100 40.0 [17,69] 10 50.0" in lines
    assert "1 surrogates=two_tiny vit 2/2 90.0 [83,94] 100 - -" in lines


def _run_report() -> RunReport:
    card = FailureCard(
        "img0", Image.new("RGB", (8, 8)), "a photo of a mug", "mug", "texture", "grid", {"net": "sock"}
    )
    tables = {"yields": build_tables(_scores())["yields"]}
    return RunReport("k1", "tiny", "pool1", "evaluate", ("tiny",), {"seed": 0}, {"mined": 3}, tables, (card,))


def test_the_csv_logger_writes_metrics_tables_config_and_failures(tmp_path: Path) -> None:
    assert CsvLogger().log_run(_run_report(), tmp_path) is None
    folder = tmp_path / "csv"
    assert (folder / "metrics.csv").read_text() == "metric,value\nmined,3\n"
    assert len(pd.read_csv(folder / "yields.csv")) == 5
    assert json.loads((folder / "run.json").read_text())["config"] == {"seed": 0}
    assert pd.read_csv(folder / "failures.csv")["net"].tolist() == ["sock"]
    assert (folder / "failures" / "img0.png").read_bytes().startswith(b"\x89PNG")


def test_no_logger_writes_nothing(tmp_path: Path) -> None:
    assert NoLogger().log_run(_run_report(), tmp_path) is None
    assert list(tmp_path.iterdir()) == []
