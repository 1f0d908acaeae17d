"""Multimodal chat models of the transformers library, asked which object an image shows."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, final

from imagenetd.config.groups import Options, takes_options
from imagenetd.config.ranges import Range, With
from imagenetd.errors import ModelError
from imagenetd.models.classifier import About
from imagenetd.models.interviewer import Asking, Interviewer
from imagenetd.models.prompts_read import read_options
from imagenetd.models.vqa_weights import VqaWeights, load_chat_model, load_processor
from imagenetd.records import Identity, MissingFile, ModelFacts
from imagenetd.store.folders import file_sha256
from imagenetd.words.vocabulary import Category, clip_name

if TYPE_CHECKING:
    import torch
    from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Decoding(Options):
    """How a chat model is given the question, and how it answers."""

    prompt: Annotated[str | None, With("{question}")] = None
    """For a processor without chat template: text with `{question}` and the image's token."""
    max_new_tokens: Annotated[int, Range(1, 100_000)] = 32
    """Longest answer."""
    temperature: Annotated[float, Range(0, 100)] = 0.0
    """0: greedy. Above: sampled, each image with a seed of its own, one at a time."""


@final
class VqaClassifier(Interviewer):
    """A chat model whose answers are read as categories; two options or the full list."""

    @takes_options
    def __init__(
        self,
        *,
        source: VqaWeights,
        asking: Asking,
        decoding: Decoding,
        about: About = About(family="vqa", batch_size=16),  # noqa: B008 - it is frozen
    ) -> None:
        self.describe(source.called, about)
        self.source, self.asking, self.decoding = source, asking, decoding
        self.reference = asking.reference
        self._model: Any = None
        self._processor: Any = None
        self._provenance: ModelFacts = {}

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return the weights if neither a local folder, nor the cache, nor the hub has them."""
        return self.source.missing_files(option)

    def identity(self, categories: Sequence[Category]) -> Identity:
        """Return weights, questions, decoding and scoring."""
        asked = self.asking_identity(categories)
        if self.asking.questions is not None and self.needs_rivals:
            from imagenetd.models.released_questions import question_files

            asked["reference"] = {
                path.name: file_sha256(path) for path in question_files(self.asking.questions)
            }
        return {
            "adapter": "vqa",
            "weights": self.source.spelt(),
            "asked": asked,
            "prompt": self.decoding.prompt,
            "decoding": {
                "max_new_tokens": self.decoding.max_new_tokens,
                "temperature": self.decoding.temperature,
            },
            "precision": self.source.dtype,
            "scoring": self.scoring_identity(),
        }

    def load(self, categories: Sequence[Category], device: "torch.device") -> None:
        """Read processor and weights; a key that the file lacks is a ModelError, never a random number."""
        import transformers

        self.begin(categories)
        place = self.source.fetched()
        self._processor = load_processor(place, name=self.name)
        self._model = load_chat_model(place, name=self.name, dtype=self.source.dtype)
        self._model = self._model.to(device).eval().requires_grad_(False)
        if self.decoding.prompt is None and not getattr(self._processor, "chat_template", None):
            raise ModelError(
                f"{self.name}: {place} has no chat template. Give prompt=..., e.g. "
                "'USER: <image>\\n{question} ASSISTANT:'."
            )
        names = {category.name: clip_name(category) for category in categories}
        read_options(getattr(self._processor, "tokenizer", self._processor), names, name=self.name)
        self._provenance = {
            "file": str(place),
            "sha256": dataclasses.replace(self.source, model=str(place)).spelt().removeprefix("sha256:"),
            "preprocessing": {"processor": type(self._processor).__name__, "decoded": "RGB, own size"},
            "library": f"transformers {transformers.__version__}",
        }

    def provenance(self) -> ModelFacts:
        """Return what was loaded."""
        return dict(self._provenance)

    def say(
        self, images: Sequence["Image.Image"], questions: Sequence[str], seeds: Sequence[int]
    ) -> list[str]:
        """Return what the model writes, special tokens removed."""
        if self.decoding.temperature == 0:
            return self._generate(images, questions, seed=0)
        # One at a time: within a batch the random numbers of an image would depend on its neighbours.
        return [
            text
            for image, question, seed in zip(images, questions, seeds, strict=True)
            for text in self._generate([image], [question], seed=seed)
        ]

    def _generate(self, images: Sequence["Image.Image"], questions: Sequence[str], *, seed: int) -> list[str]:
        import torch

        inputs = self._processor(
            images=[[image] for image in images],
            text=[self._prompted(question) for question in questions],
            return_tensors="pt",
            padding=True,
        ).to(self._model.device, dtype=self._model.dtype)
        self._require_room(inputs["input_ids"].shape[1])
        sampling: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if self.decoding.temperature > 0:
            sampling = {"do_sample": True, "temperature": self.decoding.temperature, "top_p": 1.0, "top_k": 0}
        devices = [self._model.device] if self._model.device.type == "cuda" else []
        with torch.inference_mode(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed % 2**63)
            tokens = self._model.generate(**inputs, max_new_tokens=self.decoding.max_new_tokens, **sampling)
        new = tokens[:, inputs["input_ids"].shape[1] :]
        return [text.strip() for text in self._processor.batch_decode(new, skip_special_tokens=True)]

    def _require_room(self, num_tokens: int) -> None:
        """Raise ModelError where image, question and answer are longer than what the network has positions for."""
        config = self._model.config.get_text_config()
        known = (getattr(config, name, None) for name in ("max_position_embeddings", "n_positions"))
        limit = next((found for found in known if found), None)
        if limit is not None and num_tokens + self.decoding.max_new_tokens > limit:
            raise ModelError(
                f"{self.name} has positions for {limit} tokens, but image and question are {num_tokens} and the answer "
                f"may be {self.decoding.max_new_tokens}: it cannot read all of it. Ask with "
                "question=two-choice, about fewer categories, or with a smaller max_new_tokens."
            )

    def _prompted(self, question: str) -> str:
        if self.decoding.prompt is not None:
            return self.decoding.prompt.replace("{question}", question)
        content = [{"type": "image"}, {"type": "text", "text": question}]
        return self._processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
