"""Stand-ins that are fast and exact: a classifier of mean colours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from imagenetd.models.classifier import Classifier
from imagenetd.models.interviewer import Asking, Interviewer
from imagenetd.records import LabelSpace, MissingFile
from imagenetd.words.vocabulary import Category


class ColourClassifier(Classifier):
    """Projects the mean colours of a 4 x 4 grid at random; right about as often as chance, and always the same."""

    def __init__(
        self,
        name: str,
        seed: int,
        batch_size: int = 7,
        family: str = "fake",
        log: str | None = None,
        missing: bool = False,
    ) -> None:
        self.name, self.seed, self.batch_size, self.family, self.log, self.missing = (
            name,
            seed,
            batch_size,
            family,
            log,
            missing,
        )

    def missing_files(self, option: str) -> list[MissingFile]:
        return (
            [MissingFile(f"{self.name}.safetensors", 12.0, f"{option}.checkpoint=PATH", "nowhere")]
            if self.missing
            else []
        )

    def identity(self, categories: Sequence[Category]) -> dict[str, Any]:
        return {"fake": self.seed, "categories": [category.name for category in categories]}

    def label_space(self, categories: Sequence[Category]) -> LabelSpace:
        names = tuple(category.name for category in categories)
        accepted = {name: (index,) for index, name in enumerate(names)}
        return LabelSpace(f"fake-{len(names)}", "closed-set", len(names), accepted, names)

    def load(self, categories: Sequence[Category], device: torch.device) -> None:
        if self.log:
            with open(self.log, "a") as stream:
                stream.write(f"{self.name}\n")
        self.weights = np.random.default_rng(self.seed).normal(size=(48, len(categories))).astype(np.float32)

    def provenance(self) -> dict[str, Any]:
        return {}

    def transform(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image.resize((4, 4)), dtype=np.float32) / 255 - 0.5)

    def logits(self, batch: torch.Tensor) -> torch.Tensor:
        return batch.flatten(1) @ torch.from_numpy(self.weights)


class ScriptedInterviewer(Interviewer):
    """Answers every question from a script, in turn; a line may hold `{first}` and `{second}`, the options as asked.

    The turn of an image is the red of its first pixel, so that the answers do not depend on batches.
    """

    def __init__(
        self,
        name: str,
        script: list[str],
        question: str = "two-choice",
        scoring: str = "whole-phrase",
        reference: str | None = None,
        questions: str | None = None,
        log: str | None = None,
    ) -> None:
        self.name, self.script, self.log = name, script, log
        self.asking = Asking(
            question=question,
            template="Which? {options}.",
            scoring=scoring,
            reference=reference,
            questions=questions,
        )
        self.reference = reference
        self.batch_size, self.family = 5, "fake"

    def missing_files(self, option: str) -> list[MissingFile]:
        return []

    def identity(self, categories: Sequence[Category]) -> dict[str, Any]:
        asked = self.asking_identity(categories)
        return {"fake": self.script, "asked": asked, "scoring": self.scoring_identity()}

    def load(self, categories: Sequence[Category], device: torch.device) -> None:
        self.begin(categories)

    def provenance(self) -> dict[str, Any]:
        return {}

    def say(self, images: Sequence[Image.Image], questions: Sequence[str], seeds: Sequence[int]) -> list[str]:
        if self.log:
            with open(self.log, "a") as stream:
                stream.write("asked\n" * len(images))
        texts = []
        for image, question in zip(images, questions, strict=True):
            first, second = question.removeprefix("Which? ").removesuffix(".").split(", ")[:2]
            line = self.script[np.asarray(image)[0, 0, 0] % len(self.script)]
            texts.append(line.format(first=first, second=second))
        return texts
