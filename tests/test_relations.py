"""What a target is to the surrogates is decided by family and training data, and said wherever a target is named."""

import json
from pathlib import Path

import numpy as np
import pytest

from imagenetd.models.relations import Origin, data_names, relation
from imagenetd.models.timm import TimmClassifier
from imagenetd.reports.html.figures import on_the_line
from imagenetd.reports.selection import SelectionReport
from imagenetd.reports.sweep_table import comparison_table
from imagenetd.reports.tables import build_tables
from imagenetd.reports.terminal import terminal_tables
from tests.simulated import evidence, grid, model
from tests.test_reports import _scores

CLIP = Origin("clip", ("openai-wit",))
RESNET = Origin("resnet", ("imagenet-1k",))
SILENT = Origin("custom")


@pytest.mark.parametrize(
    ("target", "surrogates", "expected"),
    [
        (Origin("clip", ("laion-2b",)), [CLIP], "same family"),
        (
            Origin("vit", ("imagenet-22k", "imagenet-1k")),
            [CLIP, RESNET],
            "unseen family, shared training data",
        ),
        (Origin("vit", ("imagenet-1k",)), [CLIP], "unseen family"),
        (Origin("vit"), [CLIP], "unseen family, training data unknown"),
        (Origin("vit", ("imagenet-1k",)), [CLIP, SILENT], "unseen family, training data unknown"),
        (Origin("vit", ("imagenet-1k",)), [RESNET, SILENT], "unseen family, shared training data"),
        (Origin("vit"), [], "target"),
    ],
)
def test_a_target_is_unseen_only_where_neither_family_nor_data_are_shared(
    target: Origin, surrogates: list[Origin], expected: str
) -> None:
    assert relation("target", target, surrogates) == expected


def test_other_roles_are_what_they_are() -> None:
    assert [relation(role, CLIP, [CLIP]) for role in ("surrogate", "gate")] == ["surrogate", "gate"]


def test_data_are_compared_by_name_whatever_the_spelling() -> None:
    assert data_names(["LAION_2b", "laion-2B", "OpenAI WIT"]) == ("laion-2b", "openai-wit")
    assert data_names("tiny_world") == ("tiny-world",) and data_names(None) == () == data_names([])


def test_training_data_are_an_option_of_a_model_and_change_no_prediction() -> None:
    plain, told = (
        TimmClassifier(architecture="resnet18", training_data=names) for names in (None, ["ImageNet-1k"])
    )
    assert told.training_data == ("imagenet-1k",) and plain.training_data == ()
    assert not any("training_data" in str(made.__dict__.get("_overrides")) for made in (plain, told))


def test_reports_say_what_a_target_shares_with_the_surrogates() -> None:
    images = grid()
    random = np.random.default_rng(0)

    def made(name: str, role: str, family: str, *data: str) -> object:
        correct = random.random(len(images)) < 0.5
        return model(name, correct, images, role=role, family=family, training_data=data)

    models = [
        made("s", "surrogate", "clip", "openai-wit"),
        made("sibling", "target", "clip", "laion-2b"),
        made("shares", "target", "vit", "openai-wit"),
        made("far", "target", "vit", "imagenet-1k"),
        made("silent", "target", "vit"),
    ]
    given = evidence(images, models)  # type: ignore[arg-type]
    result = SelectionReport(num_draws=20).report(given)
    expected = {
        "s": "surrogate",
        "sibling": "same family",
        "shares": "unseen family, shared training data",
        "far": "unseen family",
        "silent": "unseen family, training data unknown",
    }
    assert dict(result.summary["relations"]) == expected
    figure = on_the_line(given, min_images=5)
    assert figure is not None
    labels = [point.label for series in figure.series for point in series.points]
    assert {"s", "sibling (same family)", "far (unseen family)"} <= set(labels)
    assert not any(series.name == "unseen target" for series in figure.series)


def test_the_tables_of_a_run_carry_the_relation_and_the_terminal_prints_it() -> None:
    relations = {score.model: "unseen family, shared training data" for score in _scores()}
    tables = build_tables(_scores(), relations=relations)
    assert set(tables["overall"]["relation"]) == {"unseen family, shared training data"}
    shown = terminal_tables(tables, {}, min_images=5, max_rows_per_kind=10)
    titles = [str(getattr(view, "title", "")) for view in shown]
    assert any("(target: unseen family, shared training data) by kind" in title for title in titles)


def test_the_comparison_of_a_sweep_has_the_relation_of_every_target() -> None:
    accuracy = {
        "pool": {"accuracy": 0.5, "num_images": 4, "num_correct": 2, "wilson_low": 0.1, "wilson_high": 0.9}
    }
    summary = {
        "name": "run",
        "surrogates": ["s"],
        "mining": {"min_failures": 1},
        "target": "t",
        "targets": {"t": {}},
        "num_images": {"pool": 4},
        "models": {"t": {"accuracy": accuracy, "relation": "same family"}},
    }
    assert comparison_table([json.loads(json.dumps(summary))])["relation"].tolist() == ["same family"]


def test_every_shipped_target_says_what_it_learned_or_that_it_is_unknown() -> None:
    folder = Path(__file__).parents[1] / "conf" / "target"
    texts = {path.stem: path.read_text() for path in folder.glob("*.yaml")}
    assert all("\ntraining_data: " in text for text in texts.values())
    silent = {name for name, text in texts.items() if "\ntraining_data: null" in text}
    assert silent == {"custom", "open_clip", "qwen_vl", "timm", "torchvision", "vqa"}
