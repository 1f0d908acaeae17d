"""Which model's predictions give a two-choice question its wrong option."""

from collections.abc import Mapping, Sequence

from imagenetd.errors import ConfigError
from imagenetd.models.classifier import Classifier
from imagenetd.models.interviewer import Interviewer
from imagenetd.stages.choices import ModelSpec
from imagenetd.words.vocabulary import Category

PREFERRED_REFERENCE = "clip_vit_l_14"
"""Whose favourite wrong category the paper offers beside the right one (section 4.1)."""


def bind_references(models: Sequence[tuple[ModelSpec, Classifier]], categories: Sequence[Category]) -> None:
    """Tell every two-choice model of a run which other model's predictions give its wrong options.

    Args:
        models: Of the run.
        categories: Of the run.

    Raises:
        ConfigError: When the run holds no such model.
    """
    others = {spec.name: (spec.role, model) for spec, model in models if not isinstance(model, Interviewer)}
    for spec, model in models:
        if not isinstance(model, Interviewer) or not model.needs_rivals:
            continue
        if len(categories) < 2:
            raise ConfigError(
                f"{spec.name} is asked to choose between two categories, but categories.names holds one. Name another."
            )
        if model.asking.questions is not None:
            continue
        model.reference = _reference_of(model, others, spec.option)
        model.reference_identity = others[model.reference][1].identity(categories)


def _reference_of(model: Interviewer, others: Mapping[str, tuple[str, Classifier]], option: str) -> str:
    names = ", ".join(others) or "no other model"
    if model.asking.reference is not None:
        if model.asking.reference in others:
            return model.asking.reference
        raise ConfigError(
            f"{option}.reference={model.asking.reference} is no model of this run, which holds {names}. "
            f"Choose one of them, or add it, e.g. +target@targets.{model.asking.reference}={model.asking.reference}."
        )
    ranked = [PREFERRED_REFERENCE] * (PREFERRED_REFERENCE in others)
    ranked += [
        name for wanted in ("surrogate", "target") for name, (role, _) in others.items() if role == wanted
    ]
    if ranked:
        return ranked[0]
    raise ConfigError(
        f"{option} is asked to choose between the right category and another model's favourite wrong one, but this run "
        f"holds no other model. Add one, name the released questions with {option}.questions=FOLDER, or ask with "
        f"{option}.question=full-list."
    )
