"""How each family of pipelines takes its text: which embeddings it encodes, and under which names it wants them."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imagenetd.errors import ConfigError

CACHE_BYTES = 256 * 2**20
"""Embeddings that are kept; the rows of a cell are neighbours, so a prompt is hardly ever encoded again."""


@dataclass(frozen=True)
class Family:
    """What one pipeline class of diffusers gives for a text and wants in its call."""

    embeddings: tuple[str, ...]
    """Call argument for each part of what `encode_prompt` returns; empty for a part that is not passed on."""
    encode: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of `encode_prompt`."""
    call: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the call."""
    has_guidance: bool = True
    """Whether it runs classifier-free guidance, and so takes a negative prompt."""
    has_length: bool = False
    """Whether `max_sequence_length` applies: it has a T5 encoder."""


_CLIP = ("prompt_embeds", "negative_prompt_embeds")
_POOLED = (*_CLIP, "pooled_prompt_embeds", "negative_pooled_prompt_embeds")
_MASKED = (
    "prompt_embeds",
    "prompt_attention_mask",
    "negative_prompt_embeds",
    "negative_prompt_attention_mask",
)
_PIXART = Family(
    _MASKED,
    encode={"clean_caption": False},
    call={"clean_caption": False, "use_resolution_binning": False, "negative_prompt": None},
    has_length=True,
)

FAMILIES: dict[str, Family] = {
    "StableDiffusionPipeline": Family(_CLIP),
    "LatentConsistencyModelPipeline": Family(
        ("prompt_embeds", ""), encode={"do_classifier_free_guidance": False}, has_guidance=False
    ),
    "StableDiffusionXLPipeline": Family(_POOLED),
    "StableDiffusion3Pipeline": Family(_POOLED, encode={"prompt_2": None, "prompt_3": None}, has_length=True),
    "FluxPipeline": Family(
        ("prompt_embeds", "pooled_prompt_embeds", ""),
        encode={"prompt_2": None},
        has_guidance=False,
        has_length=True,
    ),
    "PixArtSigmaPipeline": _PIXART,
    "PixArtAlphaPipeline": _PIXART,
}
"""Pipelines whose embeddings are computed once; any other gets its texts as they are, with each call."""


class TextEncoder:
    """Gives the text arguments of a pipeline's call; each distinct text is encoded once, and alone.

    An embedding is then a function of its text: the same in whatever unit, process or order it is needed.

    Args:
        pipeline: Of diffusers.
        negative_prompt: Empty for none.
        is_guided: Whether classifier-free guidance is on.
        max_sequence_length: Tokens of a T5 encoder; None for the pipeline's own.
    """

    def __init__(
        self, pipeline: Any, *, negative_prompt: str, is_guided: bool, max_sequence_length: int | None
    ) -> None:
        self.pipeline, self.negative_prompt = pipeline, negative_prompt
        self.family = FAMILIES.get(type(pipeline).__name__)
        self.is_guided = is_guided and (self.family is None or self.family.has_guidance)
        self.max_sequence_length = max_sequence_length
        self.num_encoded = 0
        """Texts that went through the text encoders so far."""
        self._kept: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._negative: dict[str, Any] | None = None
        self._refuse_what_is_not_taken()

    def arguments(self, texts: Sequence[str]) -> dict[str, Any]:
        """Return the call's text arguments for a batch, one row for each text."""
        import torch

        if self.family is None:
            plain: dict[str, Any] = {"prompt": list(texts)}
            if self.negative_prompt:
                plain["negative_prompt"] = [self.negative_prompt] * len(texts)
            return plain
        rows = [self._embedded(text) for text in texts]
        found: dict[str, Any] = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
        for name, value in self._negatives().items():
            found[name] = value.expand(len(texts), *value.shape[1:])
        return found | dict(self.family.call)

    def _embedded(self, text: str) -> dict[str, Any]:
        """Return argument -> "1 ..." for a text; the texts used longest ago make room."""
        if text in self._kept:
            self._kept.move_to_end(text)
            return self._kept[text]
        found = self._encode(text, for_negative=False)
        self._kept[text] = found
        while len(self._kept) > 1 and sum(_num_bytes(row) for row in self._kept.values()) > CACHE_BYTES:
            self._kept.popitem(last=False)
        return found

    def _negatives(self) -> dict[str, Any]:
        """Return the arguments of the unconditional half, encoded once."""
        if self._negative is None:
            self._negative = {}
            if self.is_guided:
                found = self._encode("", for_negative=True)
                self._negative = {name: value for name, value in found.items() if name.startswith("negative")}
        return self._negative

    def _encode(self, text: str, *, for_negative: bool) -> dict[str, Any]:
        """Return the embeddings of a text, or of no text and the negative prompt."""
        assert self.family is not None
        options: dict[str, Any] = dict(self.family.encode)
        if self.family.has_guidance:
            options["do_classifier_free_guidance"] = for_negative
            if for_negative and self.negative_prompt:
                options["negative_prompt"] = [self.negative_prompt]
        if self.family.has_length and self.max_sequence_length is not None:
            options["max_sequence_length"] = self.max_sequence_length
        device = self.pipeline._execution_device
        parts = self.pipeline.encode_prompt(prompt=[text], device=device, num_images_per_prompt=1, **options)
        self.num_encoded += 1
        found = zip(self.family.embeddings, parts, strict=True)
        return {
            name: part
            for name, part in found
            if part is not None and name and name.startswith("negative") == for_negative
        }

    def _refuse_what_is_not_taken(self) -> None:
        name = type(self.pipeline).__name__
        if self.family is None:
            return
        if self.negative_prompt and not self.family.has_guidance:
            raise ConfigError(
                f"generator.negative_prompt={self.negative_prompt!r} cannot be used: {name} takes none. Set it to ''."
            )
        if self.max_sequence_length is not None and not self.family.has_length:
            raise ConfigError(
                f"generator.max_sequence_length={self.max_sequence_length} cannot be used: {name} has no T5 encoder. "
                "Set it to null."
            )


def _num_bytes(row: Mapping[str, Any]) -> int:
    return sum(value.numel() * value.element_size() for value in row.values())
