"""Models that are asked a question about each image: what they need besides the image, and how words become logits."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from imagenetd.config.groups import Options
from imagenetd.config.ranges import OneOf, Seed, With
from imagenetd.errors import ModelError
from imagenetd.models.answers import ALIASES_VERSION, answer_space, parse_answer, parse_as_reference
from imagenetd.models.classifier import Classifier
from imagenetd.models.questions import ordered_options
from imagenetd.records import ChatReply, Identity, LabelSpace
from imagenetd.words.vocabulary import Category, clip_name, load_categories

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from jaxtyping import Float, UInt8
    from PIL import Image
    from torch import Tensor

TWO_CHOICE, FULL_LIST = "two-choice", "full-list"
WHOLE_PHRASE, COMPAT = "whole-phrase", "compat"
SEEDED, CATEGORY_FIRST = "seeded", "category_first"
REFERENCE_QUESTION = "What is the main object in this image? Choose from the following list: {options}."
"""As ImageNet-D's public evaluation asks."""
LOGIT = 30.0
"""Of the class that was named; the others have 0, so that a softmax gives the answer all but 1e-10."""


@dataclass(frozen=True, kw_only=True)
class Asking(Options):
    """The question about an image, and how the answer is read."""

    question: Annotated[str, OneOf((TWO_CHOICE, FULL_LIST))] = TWO_CHOICE
    """`two-choice`: the right category and a wrong one. `full-list`: all categories of the run."""
    template: Annotated[str, With("{options}")] = REFERENCE_QUESTION
    """With `{options}`."""
    option_order: Annotated[str, OneOf((SEEDED, CATEGORY_FIRST))] = SEEDED
    """`seeded`: by the hash of image and seed, whichever is right. `category_first`: as in the reference."""
    seed: Seed = 0
    """Of the option order, and of sampling."""
    reference: str | None = None
    """Model of the same run whose favourite wrong category is the wrong option; null: clip_vit_l_14 if it is there,
    else the first surrogate or target."""
    questions: str | None = None
    """File or folder with the wrong options, in place of the reference's predictions: a released `questions/`."""
    scoring: Annotated[str, OneOf((WHOLE_PHRASE, COMPAT))] = WHOLE_PHRASE
    """`whole-phrase`, or `compat`: substrings, and unclear answers left out of the denominator."""


class Interviewer(Classifier):
    """A model that answers a question in words; a subclass says how (`say`).

    Whoever runs it first sets `rivals`, when `needs_rivals` says so.
    """

    asking: Asking
    reference: str | None = None
    """The model that `asking.reference` means; set when the run is set up."""
    reference_identity: Mapping[str, Any] | None = None
    """Of that model; set with it."""
    rivals: Mapping[str, str] = {}
    """Image id -> the wrong option's category."""
    _said: Sequence[ChatReply] = ()

    @property
    def needs_rivals(self) -> bool:
        """True when a wrong option must be known for every image."""
        return self.asking.question == TWO_CHOICE

    @abc.abstractmethod
    def say(
        self, images: Sequence["Image.Image"], questions: Sequence[str], seeds: Sequence[int]
    ) -> list[str]:
        """Return the model's words about each image (after `load`).

        Args:
            images: RGB, in their own sizes.
            questions: One for each image.
            seeds: One for each image; only sampling uses them.
        """

    def asking_identity(self, categories: Sequence[Category]) -> Identity:
        """Return what changes the questions, as plain values."""
        if self.needs_rivals and self.asking.questions is None and self.reference_identity is None:
            raise ModelError(f"{self.name}: the wrong options are not known: no reference model was bound.")
        return {
            "question": self.asking.question,
            "template": self.asking.template,
            "option_order": [self.asking.option_order, self.asking.seed],
            "options": [category.name for category in categories],
            "reference": dict(self.reference_identity) if self.reference_identity else None,
        }

    def scoring_identity(self) -> Identity:
        """Return what changes the reading of the answers, which never needs the model again."""
        return {"rule": self.asking.scoring, "aliases": ALIASES_VERSION}

    def label_space(self, categories: Sequence[Category]) -> LabelSpace:
        """Return the categories, and after them the outcomes that are no category."""
        return answer_space(
            categories, question=self.asking.question, leaves_out=self.asking.scoring == COMPAT
        )

    def transform(self, image: "Image.Image") -> 'UInt8[Tensor, "3 h w"]':
        """Return the pixels as they are: the model's own processor resizes them."""
        from torchvision.transforms.functional import pil_to_tensor

        return pil_to_tensor(image.convert("RGB"))

    def logits(self, batch: 'UInt8[Tensor, "images 3 h w"]') -> 'Float[Tensor, "images classes"]':
        """Raise ModelError: without its row nobody knows what to ask about an image."""
        raise ModelError(f"{self.name} is asked about rows of a pool, not about bare images.")

    def logits_of(self, batch: Any, rows: "pd.DataFrame") -> 'Float[Tensor, "images classes"]':
        """Ask about each image, remember the answers for `columns`, and return them as logits.

        Args:
            batch: From `transform`: a tensor, or a list of tensors where the images differ in size.
            rows: Of the pool's table.
        """
        answers = self.interview(batch, rows["image_id"].tolist(), rows["category"].tolist())
        self._said = [*self._said, *answers]
        return answer_logits([answer.outcome for answer in answers], self._space.class_names or ())

    def columns(self) -> dict[str, list[Any]]:
        """Return question, options, answer and outcome of every image since the last call."""
        said, self._said = self._said, ()
        return answer_columns(said)

    def interview(
        self, batch: Sequence['UInt8[Tensor, "3 h w"]'], image_ids: Sequence[str], categories: Sequence[str]
    ) -> list[ChatReply]:
        """Return the answers about some images.

        Args:
            batch: From `transform`.
            image_ids: Of the images.
            categories: The right category of each.
        """
        from torchvision.transforms.functional import to_pil_image

        asked = [self.options(*pair) for pair in zip(image_ids, categories, strict=True)]
        questions = [self.ask(options) for options in asked]
        seeds = [int.from_bytes(image_id.encode()[-7:], "big") ^ self.asking.seed for image_id in image_ids]
        texts = self.say([to_pil_image(pixels) for pixels in batch], questions, seeds)
        return [
            ChatReply(question, tuple(options), text, self.read(text, options))
            for question, options, text in zip(questions, asked, texts, strict=True)
        ]

    def options(self, image_id: str, category: str) -> list[str]:
        """Return the category keys that are offered for an image, in order."""
        if self.asking.question == TWO_CHOICE:
            offered = [category, self.rivals[image_id]]
        else:
            offered = [name for name in self._names if name != category]
            offered.insert(0, category)
        if self.asking.option_order == CATEGORY_FIRST:
            return offered
        return ordered_options(offered, image_id=image_id, seed=self.asking.seed)

    def ask(self, options: Sequence[str]) -> str:
        """Return the question in words."""
        known = load_categories()
        return self.asking.template.replace(
            "{options}", ", ".join(clip_name(known[option]) for option in options)
        )

    def read(self, text: str, options: Sequence[str]) -> str:
        """Return what an answer means under the chosen scoring."""
        return (parse_as_reference if self.asking.scoring == COMPAT else parse_answer)(text, options)

    def begin(self, categories: Sequence[Category]) -> None:
        """Remember the categories of the run; part of every `load`."""
        self._names = [category.name for category in categories]
        self._space = self.label_space(categories)
        self._said = ()


def answer_logits(
    outcomes: Sequence[str], class_names: Sequence[str]
) -> 'Float[torch.Tensor, "images classes"]':
    """Return 30 for the class that was named and 0 for all others."""
    import torch

    logits = torch.zeros(len(outcomes), len(class_names))
    place = {name: number for number, name in enumerate(class_names)}
    logits[
        torch.arange(len(outcomes)), torch.tensor([place[name] for name in outcomes], dtype=torch.long)
    ] = LOGIT
    return logits


def answer_columns(answers: Sequence[ChatReply]) -> dict[str, list[Any]]:
    """Return answers as the columns of a table."""
    return {
        "question": [answer.question for answer in answers],
        "options": [list(answer.options) for answer in answers],
        "answer": [answer.answer for answer in answers],
        "outcome": [answer.outcome for answer in answers],
    }
