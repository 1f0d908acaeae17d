"""Multimodal chat models of the transformers library, asked which object an image shows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, final

from imagenetd.config.ranges import Batch, Megabytes, Range, Seed
from imagenetd.errors import ConfigError, ModelError
from imagenetd.models.interviewer import Interviewer
from imagenetd.models.prompts_read import read_options
from imagenetd.models.relations import data_names
from imagenetd.models.vqa_weights import VqaWeights, load_chat_model, load_processor
from imagenetd.records import MissingFile
from imagenetd.store.folders import file_sha256
from imagenetd.words.vocabulary import Category, clip_name

if TYPE_CHECKING:
    import torch
    from PIL import Image

REFERENCE_QUESTION = "What is the main object in this image? Choose from the following list: {options}."
"""As ImageNet-D's public evaluation asks."""

DTYPES = ("auto", "float32", "bfloat16", "float16")


@final
class VqaClassifier(Interviewer):
    """A chat model whose answers are read as categories; two options or the full list.

    Args:
        model: Folder as transformers saves it (safetensors and processor), or id of a repository on the hub.
        revision: Branch, tag or commit on the hub; null: `main`.
        question: `two-choice` (right category, and the wrong one that `reference` likes most) or `full-list`.
        template: Question with `{options}`.
        option_order: `seeded` (by image and seed, whichever is right) or `category_first` (the reference's).
        seed: Of the option order, and of sampling.
        reference: Model of the same run; null: clip_vit_l_14 if it is there, else the first surrogate or target.
        questions: Released `questions/` folder or one of its files, in place of `reference`.
        scoring: `whole-phrase`, or `compat`: substrings, unclear answers left out of the denominator.
        prompt: For a processor without chat template: text with `{question}` and the image's token.
        max_new_tokens: Longest answer.
        temperature: 0: greedy. Above: sampled, each image with a seed of its own, one at a time.
        dtype: `auto` (of the checkpoint), `float32`, `bfloat16`, `float16`.
        batch_size: Images of one step.
        family: Models of one family make similar mistakes.
        training_data: Names of the data sets that the weights have seen; null: unknown.
        size_mb: Size of the download, for the message when the hub cannot be asked.
        name: In messages; null: the model.
    """

    def __init__(
        self,
        *,
        model: str,
        revision: str | None = None,
        question: str = "two-choice",
        template: str = REFERENCE_QUESTION,
        option_order: str = "seeded",
        seed: Seed = 0,
        reference: str | None = None,
        questions: str | None = None,
        scoring: str = "whole-phrase",
        prompt: str | None = None,
        max_new_tokens: Annotated[int, Range(1, 100_000)] = 32,
        temperature: Annotated[float, Range(0, 100)] = 0.0,
        dtype: str = "auto",
        batch_size: Batch = 16,
        family: str = "vqa",
        training_data: list[str] | str | None = None,
        size_mb: Megabytes | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or model
        self.weights = VqaWeights(model, revision, self.name)
        self.question, self.template, self.option_order = question, template, option_order
        self.reference, self.questions, self.scoring, self.seed = reference, questions, scoring, seed
        self.prompt, self.max_new_tokens, self.temperature = prompt, max_new_tokens, temperature
        self.dtype, self.batch_size, self.family, self.size_mb = dtype, batch_size, family, size_mb
        self.training_data = data_names(training_data)
        self.check_options()
        if dtype not in DTYPES:
            raise ConfigError(f"{self.name}: dtype={dtype} is none of {', '.join(DTYPES)}.")
        if temperature < 0 or max_new_tokens < 1:
            raise ConfigError(f"{self.name}: temperature must be 0 or more, max_new_tokens 1 or more.")
        if prompt is not None and "{question}" not in prompt:
            raise ConfigError(f"{self.name}: the prompt {prompt!r} has no {{question}} in it.")
        self._model: Any = None
        self._processor: Any = None
        self._provenance: dict[str, Any] = {}

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return the weights if neither a local folder, nor the cache, nor the hub has them."""
        return self.weights.missing_files(option, size_mb=self.size_mb)

    def identity(self, categories: Sequence[Category]) -> dict[str, Any]:
        """Return weights, questions, decoding and scoring."""
        asked = self.asking_identity(categories)
        if self.questions is not None and self.needs_rivals:
            from imagenetd.models.released_questions import question_files

            asked["reference"] = {path.name: file_sha256(path) for path in question_files(self.questions)}
        return {
            "adapter": "vqa",
            "weights": self.weights.spelt(),
            "asked": asked,
            "prompt": self.prompt,
            "decoding": {"max_new_tokens": self.max_new_tokens, "temperature": self.temperature},
            "precision": self.dtype,
            "scoring": self.scoring_identity(),
        }

    def load(self, categories: Sequence[Category], device: "torch.device") -> None:
        """Read processor and weights; a key that the file lacks is a ModelError, never a random number."""
        import transformers

        self.begin(categories)
        place = self.weights.fetched()
        self._processor = load_processor(place, name=self.name)
        self._model = load_chat_model(place, name=self.name, dtype=self.dtype)
        self._model = self._model.to(device).eval().requires_grad_(False)
        if self.prompt is None and not getattr(self._processor, "chat_template", None):
            raise ModelError(
                f"{self.name}: {place} has no chat template. Give prompt=..., e.g. "
                "'USER: <image>\\n{question} ASSISTANT:'."
            )
        names = {category.name: clip_name(category) for category in categories}
        read_options(getattr(self._processor, "tokenizer", self._processor), names, name=self.name)
        self._provenance = {
            "file": str(place),
            "sha256": VqaWeights(str(place), None, self.name).spelt().removeprefix("sha256:"),
            "preprocessing": {"processor": type(self._processor).__name__, "decoded": "RGB, own size"},
            "library": f"transformers {transformers.__version__}",
        }

    def provenance(self) -> dict[str, Any]:
        """Return what was loaded."""
        return dict(self._provenance)

    def say(
        self, images: Sequence["Image.Image"], questions: Sequence[str], seeds: Sequence[int]
    ) -> list[str]:
        """Return what the model writes, special tokens removed."""
        if self.temperature == 0:
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
        if self.temperature > 0:
            sampling = {"do_sample": True, "temperature": self.temperature, "top_p": 1.0, "top_k": 0}
        devices = [self._model.device] if self._model.device.type == "cuda" else []
        with torch.inference_mode(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed % 2**63)
            tokens = self._model.generate(**inputs, max_new_tokens=self.max_new_tokens, **sampling)
        new = tokens[:, inputs["input_ids"].shape[1] :]
        return [text.strip() for text in self._processor.batch_decode(new, skip_special_tokens=True)]

    def _require_room(self, num_tokens: int) -> None:
        """Raise ModelError where image, question and answer are longer than what the network has positions for."""
        config = self._model.config.get_text_config()
        known = (getattr(config, name, None) for name in ("max_position_embeddings", "n_positions"))
        limit = next((found for found in known if found), None)
        if limit is not None and num_tokens + self.max_new_tokens > limit:
            raise ModelError(
                f"{self.name} has positions for {limit} tokens, but image and question are {num_tokens} and the answer "
                f"may be {self.max_new_tokens}: it cannot read all of it. Ask with question=two-choice, about fewer "
                "categories, or with a smaller max_new_tokens."
            )

    def _prompted(self, question: str) -> str:
        if self.prompt is not None:
            return self.prompt.replace("{question}", question)
        content = [{"type": "image"}, {"type": "text", "text": question}]
        return self._processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )
