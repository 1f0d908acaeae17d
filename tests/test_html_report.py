"""The HTML report: what it says on hand-made evidence, and how it behaves in a real browser."""

import importlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from imagenetd.reports.evidence import Evidence, ModelEvidence, ReportResult
from imagenetd.reports.html.charts import Rate
from imagenetd.reports.html.document import json_for_script, table_values
from imagenetd.reports.html.figures import MAX_HEAT_COLUMNS, run_figures
from imagenetd.reports.html.gallery import choose, data_address
from imagenetd.reports.html.report import HtmlReport
from imagenetd.reports.html.sweep_page import comparison_page
from imagenetd.reports.sweep_table import comparison_table

CATEGORIES = ("banana", "mug")
NASTY = "</script><b>&\"'"
"""What a prompt must not be able to do."""


def model(name: str, role: str, correct: list[bool]) -> ModelEvidence:
    """A closed-set model whose wrong answer is always the other category."""
    right = np.array(correct)
    label = np.arange(len(right)) % 2
    predicted = np.where(right, label, 1 - label)
    sure, counted = np.full(len(right), 0.9), np.ones(len(right), bool)
    return ModelEvidence(name, role, "fake", "closed-set", 0.5, CATEGORIES, predicted, right, sure, counted)


def evidence(**sets: np.ndarray) -> Evidence:
    """Eight images: banana and mug on a beach, striped; the surrogates fail on the last four together."""
    images = pd.DataFrame(
        {
            "image_id": [f"{index:016x}" for index in range(8)],
            "category": [CATEGORIES[index % 2] for index in range(8)],
            "kind": ["background"] * 4 + ["texture"] * 4,
            "nuisance": ["beach-s"] * 4 + ["striped"] * 4,
            "seed_index": [0, 0, 1, 1] * 2,
            "text": [f"a photo {index} {NASTY}" for index in range(8)],
        }
    )
    mined = np.array([False] * 4 + [True] * 4)
    accepted = np.array([False] * 5 + [True] * 3)
    models = (
        model("s0", "surrogate", [True, True, False, True] + [False] * 4),
        model("s1", "surrogate", [True] * 4 + [False] * 4),
        model("t", "target", [True, True, True, False, True, False, False, True]),
        model("gate", "gate", [True] * 8),
    )
    everything = {"pool": np.ones(8, dtype=bool), "mined": mined, "accepted": accepted}
    return Evidence(images, models, everything | sets, min_failures=2)


SUMMARY: dict[str, Any] = {
    "name": "test <run>",
    "num_images": {"pool": 8, "mined": 4, "accepted": 3, "easy": 3},
    "mining": {"min_failures": 2, "num_surrogates": 2},
    "gate": "gate",
    "target": "t",
    "targets": {"t": {}},
    "surrogates": ["s0", "s1"],
    "models": {
        "t": {
            "accuracy": {
                "pool": {"accuracy": 0.625, "wilson_low": 0.3, "wilson_high": 0.86, "num_images": 8},
                "accepted": {"accuracy": 1 / 3, "wilson_low": 0.06, "wilson_high": 0.79, "num_images": 3},
            }
        }
    },
    "overrides": ["seed=0"],
    "seed": 0,
    "generator": "abc",
    "keys": {"mine": "0123"},
    "seconds": {"mine": 1.0},
    "versions": {"imagenetd": "0"},
    "config": {"seed": 0},
}
NUISANCES = pd.DataFrame({"nuisance": ["beach-s", "striped"], "accuracy": [0.75, 0.5], "n": [4, 4]})
RESULT = ReportResult("accuracy", {"per_nuisance": NUISANCES, "totals": NUISANCES}, (f"t: 62.5% {NASTY}",))


def picture(index: int) -> Image.Image:
    return Image.new("RGB", (64, 64), (20 * index, 0, 0))


def figures(given: Evidence, *results: ReportResult) -> dict[str, Any]:
    return {figure.id: figure for figure in run_figures(given, results, min_images=1)}


def test_the_line_has_all_images_across_and_hard_ones_up() -> None:
    series = {entry.name: entry.points for entry in figures(evidence())["line"].series}
    (target,) = series["target"]
    assert (target.x.v, target.x.n) == (62.5, 8)
    assert (target.y.v, target.y.n) == (33.33, 3)
    assert [point.y.v for point in series["surrogate (chose the images)"]] == [0.0, 0.0]
    assert [point.label for point in series["t, one nuisance each"]] == ["striped (texture)"]


def test_the_forest_has_a_row_for_each_nuisance_with_n_and_interval() -> None:
    (panel,) = figures(evidence())["nuisances"].panels
    beach, striped = panel.rows
    assert (beach.group, beach.label, beach.marks[0].v, beach.marks[1].n) == (
        *("background", "beach-s"),
        *(75.0, 0),
    )
    assert striped.marks[0] == Rate(v=50.0, lo=15.0, hi=85.0, n=4)


def test_the_curve_goes_over_the_images_that_at_least_k_surrogates_miss() -> None:
    (line,) = figures(evidence())["failures"].series
    assert [(point.x, point.v, point.n) for point in line.points] == [
        *((0, 62.5, 8), (1, 60.0, 5), (2, 50.0, 4))
    ]


def test_the_heat_map_counts_hard_images_by_category_and_nuisance() -> None:
    figure = figures(evidence())["heat"]
    assert (figure.rows, [column.label for column in figure.columns]) == (
        ["banana", "mug"],
        ["beach-s", "striped"],
    )
    assert figure.layers["share of hard images"] == [[0.0, 100.0], [0.0, 100.0]]
    assert figure.layers["accuracy of t"] == [[100.0, 50.0], [50.0, 50.0]]
    assert figure.counts == [[2, 2], [2, 2]]


def test_of_many_nuisances_the_heat_map_shows_the_hardest() -> None:
    given = evidence()
    many = pd.concat([given.images.iloc[:1]] * 60, ignore_index=True)
    many["nuisance"] = [f"place{index}" for index in range(60)]
    right = [index < 10 for index in range(60)]
    sets = {"pool": np.ones(60, dtype=bool), "mined": ~np.array(right), "accepted": ~np.array(right)}
    found = figures(Evidence(many, (model("t", "target", right),), sets, 1))["heat"]
    assert len(found.columns) == MAX_HEAT_COLUMNS
    assert "place0" not in {column.label for column in found.columns}


def test_an_evaluation_without_mining_still_has_its_page() -> None:
    given = evidence()
    only = Evidence(given.images, given.models[2:3], {"pool": np.ones(8, dtype=bool)}, 0)
    assert set(figures(only)) == {"nuisances", "heat"}
    summary = SUMMARY | {"num_images": {"pool": 8}}
    assert "8 images. Target: t." in HtmlReport().page(summary, only, [], picture)


def test_the_arrows_and_the_ablation_are_drawn_from_the_tables_of_other_reports() -> None:
    arrow = {"model": "t", "start": "nuisance_judged", "end": "accepted", "meaning": "mining"}
    numbers = {
        "start_accuracy": 0.8,
        "end_accuracy": 0.1,
        "change": -0.7,
        "low": -0.8,
        "high": -0.6,
        "num_start": 8,
        "num_end": 5,
        "taken_out": "",
    }
    nothing = arrow | numbers | {"start": "mined", "change": 0.0, "low": -0.1, "high": 0.1, "num_start": 5}
    nothing |= {"taken_out": "no image was taken out of 5 (at most 52.2% on these categories)"}
    curve = {"target": "t", "num_surrogates": [0, 1], "min_failures": [0, 1], "accuracy": [0.8, 0.4]}
    curve |= {"low": [0.7, 0.3], "high": [0.9, 0.5], "mean_num_judged": [8, 3]}
    found = figures(
        evidence(),
        ReportResult("decomposition", {"arrows": pd.DataFrame([arrow | numbers, nothing])}),
        ReportResult("selection", {"curve": pd.DataFrame(curve)}),
    )
    step, same = found["decomposition"].panels[0].steps
    assert (step.said, same.said) == ("", "none of 5 taken out")
    assert same.meaning == "mining; no image was taken out of 5 (at most 52.2% on these categories)"
    assert (step.start, step.before, step.after, step.v) == ("nuisance judged", 80.0, 10.0, -70.0)
    assert [point.v for point in found["surrogates"].series[0].points] == [80.0, 40.0]


def test_the_gallery_takes_accepted_failures_first() -> None:
    assert choose(evidence(), 4) == [
        *((5, "hard, accepted"), (6, "hard, accepted"), (7, "hard, accepted"), (4, "hard, rejected")),
    ]
    assert [group for _, group in choose(evidence(), 9)].count("only a target fails") == 1


def test_small_pictures_are_exact_and_large_ones_are_made_small() -> None:
    import base64
    import io

    def opened(address: str) -> Image.Image:
        return Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/webp;base64,"))))

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    assert np.array_equal(np.asarray(opened(data_address(noise, 256)).convert("RGB")), np.asarray(noise))
    assert opened(data_address(Image.new("RGB", (768, 512)), 256)).size == (256, 171)


def test_nothing_in_the_data_can_end_the_script() -> None:
    text = json_for_script({"a": NASTY, "b": math.nan, "c": [math.inf, 1.5]})
    assert "<" not in text
    assert json.loads(text) == {"a": NASTY, "b": None, "c": [None, 1.5]}


def test_a_long_table_is_cut_and_says_where_the_rest_is() -> None:
    frame = pd.DataFrame(
        {"n": range(10), "share": [1 / 3] * 9 + [math.nan], "is_worse": [True] + [False] * 9}
    )
    values = table_values("t", "g", frame, max_rows=2, file="tables/g/t.csv")
    assert (values.num_rows, values.values) == (10, [[0, 1], [0.3333, 0.3333], ["yes", "no"]])


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("html") / "report.html"
    path.write_text(HtmlReport().page(SUMMARY, evidence(), [RESULT], picture))
    return path


def test_the_page_is_one_file_that_fetches_nothing(page_file: Path) -> None:
    text = page_file.read_text()
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert "default-src 'none'" in text
    assert "<h1>test &lt;run&gt;</h1>" in text and NASTY not in text


def summary_of(target: str, num: int, accuracy: float) -> dict[str, Any]:
    rate = {"accuracy": accuracy, "num_images": 20, "num_correct": round(20 * accuracy)}
    ends = {"wilson_low": max(0.0, accuracy - 0.1), "wilson_high": min(1.0, accuracy + 0.1)}
    start = {"accuracy": 0.8, "num_images": 100, "num_correct": 80, "wilson_low": 0.7, "wilson_high": 0.9}
    return {
        "name": f"{num}-{target}",
        "surrogates": [f"s{index}" for index in range(num)],
        "mining": {"min_failures": num},
        "target": target,
        "num_images": {"pool": 100, "mined": 20},
        "models": {target: {"accuracy": {"pool": start, "mined": rate | ends}}},
    }


@pytest.fixture(scope="module")
def comparison_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    jobs = [summary_of(target, num, 0.6 / num) for target in ("t", "u") for num in (1, 2)]
    path = tmp_path_factory.mktemp("html") / "comparison.html"
    path.write_text(comparison_page(comparison_table(jobs), [("job 0", "../0/report.html")]))
    return path


def test_the_comparison_says_the_largest_and_the_smallest_drop(comparison_file: Path) -> None:
    text = comparison_file.read_text()
    # Newcombe (1998), method 10, at 0.95^(1/2), of 74 of 80 and 6 of 20, times 80 / 100; and of 68 of 80 and 12 of 20.
    assert (
        "t loses 50.0 points [29, 64] with 2 surrogates (20 hard images), 20.0 points [2, 40] with 1" in text
    )
    assert "(95% for all 2 runs at once); intervals are for these categories." in text
    assert '<a href="../0/report.html">job 0</a>' in text


CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
ARGUMENTS += ["--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = importlib.import_module("playwright.sync_api")
    if not CHROMIUM.is_file():
        pytest.skip(f"{CHROMIUM} is not there: install Chromium to test the page in a browser")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield opened
        opened.close()


def opened(browser: Any, path: Path, **options: Any) -> tuple[Any, list[str]]:
    """Return the page and what its console complains about."""
    page = browser.new_page(**options)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    return page, complaints


def test_a_browser_draws_every_figure_without_complaint(browser: Any, page_file: Path) -> None:
    page, complaints = opened(browser, page_file, viewport={"width": 1200, "height": 900})
    assert page.locator("figure").count() == page.locator("figure svg").count() == 4
    assert page.locator("#figure-line circle").count() == 4
    page.locator("#figure-failures circle").first.hover()
    assert page.locator("#tip").inner_text() == "t, 0\n62.5% [30.6, 86.3], n = 8"
    page.locator("#figure-line button", has_text="surrogate").click()
    assert page.locator("#figure-line circle").count() == 2
    assert complaints == []
    page.close()


def test_the_filters_of_the_gallery_work(browser: Any, page_file: Path) -> None:
    page, complaints = opened(browser, page_file)
    assert page.locator(".card").count() == 5
    page.locator("select[name=kind]").select_option("texture")
    assert page.locator(".card").count() == 4
    page.locator("select[name=wrong]").select_option(label="t (same family)")
    assert page.locator(".card").count() == 2
    page.locator("input[name=search]").fill("photo 5")
    assert page.locator(".card .prompt").all_inner_texts() == [f"a photo 5 {NASTY}"]
    assert page.locator("#count").inner_text() == "1 of 1 failures shown"
    page.locator("#figure-heat rect[data-tip^='mug, striped']").click()
    assert page.locator("select[name=nuisance]").input_value() == "striped"
    assert page.locator(".card").count() == 2
    assert complaints == []
    page.close()


def test_a_click_on_a_heading_sorts_the_table(browser: Any, page_file: Path) -> None:
    page, _ = opened(browser, page_file)
    page.locator("#table-accuracy-per_nuisance summary").click()
    heading = page.locator("#table-accuracy-per_nuisance th", has_text="accuracy")
    heading.locator("button").click()
    first = page.locator("#table-accuracy-per_nuisance tbody tr td").first
    assert (first.inner_text(), heading.get_attribute("aria-sort")) == ("striped", "ascending")
    heading.locator("button").click()
    assert (first.inner_text(), heading.get_attribute("aria-sort")) == ("beach-s", "descending")
    page.close()


def test_on_a_phone_nothing_is_wider_than_the_screen(browser: Any, page_file: Path) -> None:
    page, _ = opened(browser, page_file, viewport={"width": 390, "height": 844}, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.locator("figure svg").first.evaluate("node => node.clientWidth") <= 370
    page.locator("#theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.close()


def test_the_printed_page_holds_the_pictures(browser: Any, page_file: Path) -> None:
    page, _ = opened(browser, page_file)
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF") and printed.count(b"/Subtype /Image") >= 5
    page.close()


def test_the_comparison_is_drawn_without_complaint(browser: Any, comparison_file: Path) -> None:
    page, complaints = opened(browser, comparison_file)
    assert page.locator("figure").count() == page.locator("figure svg").count() == 3
    assert page.locator("#figure-surrogates circle").count() == 4
    assert page.locator("tbody tr").count() == 4
    assert complaints == []
    page.close()
