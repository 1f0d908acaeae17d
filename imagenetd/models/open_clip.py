"""Dual encoders of the open_clip library as zero-shot classifiers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from imagenetd.config.groups import Options, takes_options
from imagenetd.config.ranges import OneOf, Range
from imagenetd.errors import ModelError
from imagenetd.models.classifier import About
from imagenetd.models.network import NetworkClassifier
from imagenetd.models.open_clip_weights import OpenClipWeights
from imagenetd.models.prompts_read import (
    LIST,
    REFUSE,
    TextTower,
    alike_encodings,
    alike_prompts,
    read_prompts,
    refuse_alike,
    told_alike,
)
from imagenetd.models.state_dicts import StateDict
from imagenetd.models.weights import load_error, plain
from imagenetd.models.zero_shot import cached_head, read_templates
from imagenetd.records import Identity, LabelSpace, ModelFacts
from imagenetd.store.folders import file_sha256
from imagenetd.store.hub import refuse_remote_code
from imagenetd.words.vocabulary import Category, clip_name

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ZeroShot(Options):
    """How categories become the classes of a dual encoder."""

    templates: list[str] | str | None = None
    """Sentences with `{category}`, several are averaged; or a file of them, or `ensemble_v1`."""
    bare_name: bool = False
    """Use the category's name alone instead of the templates."""
    same_prompts: Annotated[str, OneOf((REFUSE, LIST))] = REFUSE
    """`refuse` categories that the text tower cannot tell apart, of which only the first can win; or `list` them, go
    on, and say so in provenance and findings."""
    logit_scale: Annotated[float, Range(0, 10_000, open_low=True)] = 100.0
    """Factor of the cosine similarity; 100 in the reference."""


@final
class OpenClipClassifier(NetworkClassifier):
    """A dual encoder whose classes are the chosen categories: cosine similarity to the mean of their prompts."""

    adapter = library = "open_clip"

    @takes_options
    def __init__(
        self,
        *,
        source: OpenClipWeights,
        zero_shot: ZeroShot,
        about: About = About(family="clip"),  # noqa: B008 - it is frozen
    ) -> None:
        super().__init__(source, about)
        self.zero_shot = zero_shot
        self.templates = (
            ("{category}",) if zero_shot.bare_name else read_templates(zero_shot.templates, name=self.name)
        )
        self._head: Tensor | None = None

    def own_identity(self, categories: Sequence[Category]) -> Identity:
        """Return the network, and the prompts, which are the zero-shot head."""
        source = self.source
        words = source.tokenizer_folder()
        return {
            "architecture": source.architecture or source.model_config(),
            "tokenizer": f"sha256:{file_sha256(words / 'tokenizer.json')}" if words else None,
            "quick_gelu": source.needs_quick_gelu(),
            "prompts": [self.prompts(category) for category in categories],
            "logit_scale": self.zero_shot.logit_scale,
            "precision": "float32",
        }

    def preprocessing(self) -> Identity:
        """Return size and normalisation as open_clip's own factory would choose them."""
        return self.source.preprocessing()

    def label_space(self, categories: Sequence[Category]) -> LabelSpace:
        """Return one class for each chosen category, in their order."""
        names = tuple(category.name for category in categories)
        accepted: dict[str, tuple[int, ...]] = {name: (place,) for place, name in enumerate(names)}
        return LabelSpace(f"zero-shot-{len(names)}", "zero-shot", len(names), accepted, names)

    def prompts(self, category: Category) -> list[str]:
        """Return the sentences that stand for a category."""
        return [template.replace("{category}", clip_name(category)) for template in self.templates]

    def make_transform(self, network: Any) -> tuple[Any, ModelFacts]:
        """Return open_clip's own preprocessing."""
        from open_clip.transform import PreprocessCfg, image_transform_v2

        options = plain(network.visual.preprocess_cfg)
        return image_transform_v2(PreprocessCfg(**network.visual.preprocess_cfg), is_train=False), options

    def prepare(self, categories: Sequence[Category], device: "torch.device", path: Any) -> ModelFacts:
        """Encode the prompts of every category, and return what is to be said about categories that are alike."""
        import open_clip

        made_of = self.identity(categories) | {
            "weights": file_sha256(path),
            "library": f"open_clip {open_clip.__version__}",
            "prompts_checked": 1,
        }
        head = cached_head(self.cache_dir, made_of, lambda: self._encode_prompts(categories, device))
        self._head = head.to(device)
        alike = self._alike([category.name for category in categories], self._head)
        return {"remarks": alike} if alike else {}

    def seeing(self) -> "torch.nn.Module":
        """Return the visual tower."""
        return self._model.visual

    def as_logits(self, output: Any, num_images: int) -> 'Float[Tensor, "images classes"]':
        """Return the scaled cosine similarity of each image to each category's prompts, computed in float32."""
        import torch

        with torch.autocast(output.device.type, enabled=False):
            return self.zero_shot.logit_scale * output.float() @ self._head

    def logits(self, batch: 'Float[Tensor, "images 3 h w"]') -> 'Float[Tensor, "images classes"]':
        """Return the scaled cosine similarity of each image to each category's prompts."""
        import torch

        with torch.inference_mode():
            features: Any = self.features(batch)
            return self.as_logits(features, len(batch))

    def features(self, batch: 'Float[Tensor, "images 3 h w"]') -> 'Float[Tensor, "images features"]':
        """Return the image features of length 1; normalised in float32."""
        import torch
        from torch.nn.functional import normalize

        with torch.inference_mode():
            found = self._tail.run(batch)
            found = found[0] if isinstance(found, tuple) else found  # CoCa's tower gives its tokens, too
            with torch.autocast(batch.device.type, enabled=False):
                return normalize(found.float(), dim=-1)

    def build(self, path: Path | None) -> tuple[Any, ModelFacts]:
        """Return the network with all weights from the file, and what was read; or raise ModelError."""
        import logging

        import open_clip

        assert path is not None
        source = self.source
        refuse_remote_code()
        disabled = logging.root.manager.disable
        logging.disable(logging.WARNING)  # that the network is random: it is filled below
        try:
            network = open_clip.create_model(
                source.architecture or f"local-dir:{source.folder()}",
                load_weights=False,
                pretrained_text=False,
                precision="fp32",
                force_quick_gelu=source.needs_quick_gelu(),
                force_preprocess_cfg=source.preprocessing(),
                weights_only=True,
            )
        except ModelError:
            raise
        except Exception as error:  # each architecture has its own errors
            if "custom code" in str(error):
                raise ModelError(
                    f"{self.name}: {source.network} wants to run code of its own, which is never done. "
                    "Choose another model."
                ) from error
            raise load_error(error, name=self.name, path=path, architecture=source.network) from error
        finally:
            logging.disable(disabled)
        if path.suffix == ".npz":
            return network, self._fill_from_big_vision(network, path)
        found = self.read(path, network)
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        held = {name: value.shape for name, value in found.tensors.items()}
        self.put(found if held == shapes else self._converted(found, network, path), network, path)
        return network, found.told()

    def _converted(self, found: StateDict, network: Any, path: Path) -> StateDict:
        """Return the weights under open_clip's names, as its own loader converts other layouts."""
        import dataclasses

        from open_clip import factory

        state = {name: value for name, value in found.tensors.items()}
        try:
            state = factory.convert_state_dict(network, state)
            if "positional_embedding" in state and not hasattr(network, "positional_embedding"):
                state = factory.convert_to_custom_text_state_dict(state)
            for name in ("logit_scale", "logit_bias"):
                own = getattr(network, name, None)
                if name in state and own is not None and state[name].ndim != own.ndim:
                    state[name] = state[name].reshape(own.shape)
            if "logit_bias" not in state and getattr(network, "logit_bias", None) is not None:
                state["logit_bias"] = network.logit_bias.detach() * 0  # of training; no score depends on it
            for name in ("input_resolution", "context_length", "vocab_size"):  # of OpenAI's own files
                state.pop(name, None)
            position_ids = "text.transformer.embeddings.position_ids"
            if not hasattr(network, position_ids):
                state.pop(position_ids, None)
            factory.resize_pos_embed(state, network)
            factory.resize_text_pos_embed(state, network)
        except Exception as error:  # its converters look names up
            raise self.misfit(error, found, path) from error
        return dataclasses.replace(found, tensors=state)

    def _fill_from_big_vision(self, network: Any, path: Path) -> ModelFacts:
        """Fill the network from a NumPy archive, as big_vision publishes SigLIP; return what was read."""
        from open_clip.convert import load_big_vision_weights

        try:
            load_big_vision_weights(network, str(path))
        except Exception as error:  # it looks names up
            raise load_error(error, name=self.name, path=path, architecture=self.source.network) from error
        return {"entry": "big_vision"}

    def _alike(self, names: list[str], head: "Tensor") -> list[str]:
        """Return what to say about categories that the head cannot tell apart; refuse them unless told to go on."""
        groups = alike_encodings(names, head)
        if self.zero_shot.same_prompts == REFUSE:
            refuse_alike(groups, name=self.name, why=lambda _: "their prompts have the same encoding")
        losers = [name for group in groups for name in group[1:]]
        if not losers:
            return []
        return [
            f"{self.name} cannot tell {told_alike(groups)}: {len(losers)} of {len(names)} classes can never win "
            f"({', '.join(losers[:5])}{', ...' if len(losers) > 5 else ''})."
        ]

    def _encode_prompts(self, categories: Sequence[Category], device: "torch.device") -> "Tensor":
        """Return the zero-shot head, "features classes": the mean of each category's normalised prompts."""
        import torch
        from torch.nn.functional import normalize

        prompts = {category.name: self.prompts(category) for category in categories}
        tower = TextTower(
            name=self.name,
            tokenizer=self.source.read_tokenizer(self._context_length()),
            context_length=self._context_length(),
            vocabulary=int(getattr(self._model, "vocab_size", 0) or 0),
        )
        empty = [template.replace("{category}", "").strip() for template in self.templates]
        tokens = read_prompts(tower, prompts, empty=empty)
        if self.zero_shot.same_prompts == REFUSE:
            refuse_alike(
                alike_prompts(list(prompts), tokens, num_templates=len(self.templates)),
                name=self.name,
                why=lambda group: (
                    f"{prompts[group[0]][0]!r} and {prompts[group[1]][0]!r} are the same tokens"
                ),
            )
        with torch.inference_mode():
            chunks = [
                self._model.encode_text(chunk, normalize=True).float()
                for chunk in tokens.to(device).split(256)
            ]
            grouped = torch.cat(chunks).unflatten(0, (len(prompts), len(self.templates)))
            return normalize(grouped.mean(dim=1), dim=-1).T

    def _context_length(self) -> int:
        """Return how many tokens the text tower reads: what it says itself, and no more than it has positions for."""
        text = getattr(self._model, "text", self._model)
        places = getattr(text, "positional_embedding", None)
        found = [
            int(length)
            for length in (
                getattr(self._model, "context_length", 0),
                getattr(text, "context_length", 0),
                len(places) if places is not None and places.ndim == 2 else 0,
            )
            if length
        ]
        if not found:
            raise ModelError(f"{self.name}: its text tower does not say how many tokens it reads.")
        return min(found)
