"""Dual encoders of the open_clip library as zero-shot classifiers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from imagenetd.config.ranges import Batch, Megabytes, Range
from imagenetd.errors import ConfigError, ModelError
from imagenetd.models.network import Checkpoint, NetworkClassifier
from imagenetd.models.open_clip_weights import OpenClipWeights
from imagenetd.models.prompts_read import (
    LIST,
    REFUSE,
    alike_encodings,
    alike_prompts,
    read_prompts,
    refuse_alike,
    told_alike,
)
from imagenetd.models.relations import data_names
from imagenetd.models.repositories import repository
from imagenetd.models.state_dicts import StateDict
from imagenetd.models.weights import load_error, plain
from imagenetd.models.zero_shot import cached_head, read_templates
from imagenetd.records import LabelSpace, MissingFile
from imagenetd.store.folders import file_sha256
from imagenetd.store.hub import HubFile, fetch, missing_file, refuse_remote_code, resolve_local
from imagenetd.words.vocabulary import Category, clip_name

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from torch import Tensor


@final
class OpenClipClassifier(NetworkClassifier):
    """A dual encoder whose classes are the chosen categories: cosine similarity to the mean of their prompts.

    Args:
        architecture: Name in open_clip, e.g. `ViT-L-14-quickgelu`; null: as the checkpoint folder says.
        weights: Tag in open_clip's table, e.g. `openai`; it also settles preprocessing and quick-GELU.
        checkpoint: Local weights instead of the hub's: a file, a folder as open_clip saves it, `package:...`.
        checkpoint_entry: Which part of a checkpoint to read, e.g. `state_dict`; null: averaged weights first.
        tokenizer: Folder of a tokenizer; null: the architecture's own, or the one beside the weights.
        revision: Branch, tag or commit of the weights on the hub; null: `main`.
        templates: Sentences with `{category}`, several are averaged; or a file of them, or `ensemble_v1`.
        bare_name: Use the category's name alone instead of the templates.
        same_prompts: `refuse` categories that the text tower cannot tell apart, of which only the first can win; or
            `list` them, go on, and say so in provenance and findings.
        force_quick_gelu: For a checkpoint that was trained with it; a tag knows by itself.
        logit_scale: Factor of the cosine similarity; 100 in the reference.
        batch_size: Images of one step.
        family: Models of one family make similar mistakes.
        training_data: Names of the data sets that the weights have seen; null: unknown.
        size_mb: Size of the download, for the message when the hub cannot be asked.
        name: In messages; null: the architecture.
    """

    def __init__(
        self,
        *,
        architecture: str | None,
        weights: str | None = None,
        checkpoint: str | None = None,
        checkpoint_entry: str | None = None,
        tokenizer: str | None = None,
        revision: str | None = None,
        templates: list[str] | str | None = None,
        bare_name: bool = False,
        same_prompts: str = REFUSE,
        force_quick_gelu: bool = False,
        logit_scale: Annotated[float, Range(0, 10_000, open_low=True)] = 100.0,
        batch_size: Batch = 64,
        family: str = "clip",
        training_data: list[str] | str | None = None,
        size_mb: Megabytes | None = None,
        name: str | None = None,
    ) -> None:
        self.name = name or architecture or (Path(checkpoint).name if checkpoint else "open_clip")
        self.weights = OpenClipWeights(architecture, weights, checkpoint, revision, self.name)
        self.checkpoint = Checkpoint(checkpoint, checkpoint_entry, self.name)
        self.tokenizer, self.force_quick_gelu = tokenizer, force_quick_gelu
        self.templates = ("{category}",) if bare_name else read_templates(templates, name=self.name)
        self.training_data = data_names(training_data)
        self.logit_scale, self.batch_size, self.family, self.size_mb = (
            logit_scale,
            batch_size,
            family,
            size_mb,
        )
        if same_prompts not in (REFUSE, LIST):
            raise ConfigError(f"{self.name}: same_prompts={same_prompts} is none of {REFUSE}, {LIST}.")
        self.same_prompts = same_prompts
        self._head: Tensor | None = None

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return weights and tokenizer if neither a local path, nor the cache, nor the hub has them."""
        asked: list[tuple[HubFile, float | None, str]] = []
        if self.weights.local_path() is None:
            asked.append((self.weights.hub_file(), self.size_mb, f"{option}.checkpoint=PATH"))
        if self.tokenizer is None and self.weights.architecture is not None:
            repo = self.weights.tokenizer_repository()
            if repo:
                asked.append((HubFile(repo, ("tokenizer.json",)), None, f"{option}.tokenizer=PATH"))
        found = [missing_file(file, size_mb=size, option=place) for file, size, place in asked]
        return [file for file in found if file is not None]

    def library_asked(self) -> str:
        """Return open_clip where only open_clip can tell which repositories hold weights and tokenizer."""
        weights = self.weights
        if weights.architecture is None or repository("open_clip", f"{weights.architecture} {weights.tag}"):
            return ""
        return "" if weights.checkpoint and self.tokenizer else "open_clip"

    def identity(self, categories: Sequence[Category]) -> dict[str, Any]:
        """Return network, weights, preprocessing, and the prompts, which are the zero-shot head."""
        path = self.weights.local_path()
        words = self._tokenizer_folder()
        return {
            "adapter": "open_clip",
            "architecture": self.weights.architecture or self.weights.model_config(),
            **self.checkpoint.identity(path, otherwise="" if path else self.weights.hub_file().spelt()),
            "tokenizer": f"sha256:{file_sha256(words / 'tokenizer.json')}" if words else None,
            "quick_gelu": self.force_quick_gelu or self.weights.needs_quick_gelu(),
            "preprocessing": self.weights.preprocessing(),
            "prompts": [self.prompts(category) for category in categories],
            "logit_scale": self.logit_scale,
            "precision": "float32",
        }

    def label_space(self, categories: Sequence[Category]) -> LabelSpace:
        """Return one class for each chosen category, in their order."""
        names = tuple(category.name for category in categories)
        accepted: dict[str, tuple[int, ...]] = {name: (place,) for place, name in enumerate(names)}
        return LabelSpace(f"zero-shot-{len(names)}", "zero-shot", len(names), accepted, names)

    def prompts(self, category: Category) -> list[str]:
        """Return the sentences that stand for a category."""
        return [template.replace("{category}", clip_name(category)) for template in self.templates]

    def load(self, categories: Sequence[Category], device: "torch.device") -> None:
        """Read the weights into a float32 network and encode the prompts of every category."""
        import open_clip
        from open_clip.transform import PreprocessCfg, image_transform_v2

        path = self.weights.local_path() or fetch(self.weights.hub_file(), option="checkpoint=PATH")
        network, read = self._build(path)
        self._transform = image_transform_v2(PreprocessCfg(**network.visual.preprocess_cfg), is_train=False)
        place = f"{self.name}: {path}"
        self.settle(network, device, place=place)
        made_of = self.identity(categories) | {
            "weights": file_sha256(path),
            "library": f"open_clip {open_clip.__version__}",
            "prompts_checked": 1,
        }
        head = cached_head(self.cache_dir, made_of, lambda: self._encode_prompts(categories, device))
        self._head = head.to(device)
        alike = self._alike([category.name for category in categories], self._head)
        self.try_out(device, place=place)
        self._provenance = {
            "file": str(path),
            "sha256": file_sha256(path),
            **read,
            "preprocessing": plain(self._model.visual.preprocess_cfg),
            "library": f"open_clip {open_clip.__version__}",
        } | ({"remarks": alike} if alike else {})

    def seeing(self) -> "torch.nn.Module":
        """Return the visual tower."""
        return self._model.visual

    def as_logits(self, output: Any, num_images: int) -> 'Float[Tensor, "images classes"]':
        """Return the scaled cosine similarity of each image to each category's prompts, computed in float32."""
        import torch

        with torch.autocast(output.device.type, enabled=False):
            return self.logit_scale * output.float() @ self._head

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

    def _build(self, path: Path) -> tuple[Any, dict[str, Any]]:
        """Return the network with all weights from the file, and what was read; or raise ModelError."""
        import logging

        import open_clip

        architecture = self.weights.architecture
        label = architecture or str(self.weights.folder())
        refuse_remote_code()
        disabled = logging.root.manager.disable
        logging.disable(logging.WARNING)  # that the network is random: it is filled below
        try:
            network = open_clip.create_model(
                architecture or f"local-dir:{self.weights.folder()}",
                load_weights=False,
                pretrained_text=False,
                precision="fp32",
                force_quick_gelu=self.force_quick_gelu or self.weights.needs_quick_gelu(),
                force_preprocess_cfg=self.weights.preprocessing(),
                weights_only=True,
            )
        except ModelError:
            raise
        except Exception as error:  # each architecture has its own errors
            if "custom code" in str(error):
                raise ModelError(
                    f"{self.name}: {label} wants to run code of its own, which is never done. Choose another model."
                ) from error
            raise load_error(error, name=self.name, path=path, architecture=label) from error
        finally:
            logging.disable(disabled)
        if path.suffix == ".npz":
            return network, self._fill_from_big_vision(network, path, label)
        found = self.read(path, network, architecture=label)
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        held = {name: value.shape for name, value in found.tensors.items()}
        state = found if held == shapes else self._converted(found, network, path, label)
        self.put(state, network, path, architecture=label)
        return network, found.told()

    def _converted(self, found: StateDict, network: Any, path: Path, label: str) -> StateDict:
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
            raise self.misfit(error, found, path, architecture=label) from error
        return dataclasses.replace(found, tensors=state)

    def _fill_from_big_vision(self, network: Any, path: Path, label: str) -> dict[str, Any]:
        """Fill the network from a NumPy archive, as big_vision publishes SigLIP; return what was read."""
        from open_clip.convert import load_big_vision_weights

        try:
            load_big_vision_weights(network, str(path))
        except Exception as error:  # it looks names up
            raise load_error(error, name=self.name, path=path, architecture=label) from error
        return {"entry": "big_vision"}

    def _alike(self, names: list[str], head: "Tensor") -> list[str]:
        """Return what to say about categories that the head cannot tell apart; refuse them unless told to go on."""
        groups = alike_encodings(names, head)
        if self.same_prompts == REFUSE:
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
        tokens = read_prompts(
            self._tokenizer(),
            prompts,
            empty=[template.replace("{category}", "").strip() for template in self.templates],
            context_length=self._context_length(),
            vocabulary=int(getattr(self._model, "vocab_size", 0) or 0),
            name=self.name,
        )
        if self.same_prompts == REFUSE:
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

    def _tokenizer(self) -> Any:
        """Return the tokenizer of a folder, or the architecture's own."""
        import open_clip
        from open_clip.tokenizer import HFTokenizer

        refuse_remote_code()
        folder = self._tokenizer_folder()
        text_cfg = self.weights.model_config()["text_cfg"]
        options = dict(text_cfg.get("tokenizer_kwargs", {}))  # SigLIP's strips punctuation
        if options.get("trust_remote_code"):
            raise ModelError(
                f"{self.name}: its tokenizer wants to run code of its own (trust_remote_code), which is never done."
            )
        try:
            if folder is None:
                return open_clip.get_tokenizer(self.weights.architecture)
            return HFTokenizer(
                str(folder),
                context_length=self._context_length(),
                tokenizer_mode=text_cfg.get("tokenizer_mode"),
                **options | {"trust_remote_code": False},
            )
        except Exception as error:  # each tokenizer has its own errors
            reason = " ".join(str(error).split())[:200]
            if "custom code" in reason or "trust_remote_code" in reason:
                reason = "it wants to run code of its own, which is never done"
            raise ModelError(
                f"{self.name}: the tokenizer {folder or self.weights.architecture} cannot be read: {reason}. Name its "
                "folder with tokenizer=PATH."
            ) from error

    def _tokenizer_folder(self) -> Path | None:
        """Return the folder of a tokenizer of its own, None for the architecture's."""
        if self.tokenizer is None and self.weights.architecture is not None:
            return None
        folder = resolve_local(self.tokenizer) if self.tokenizer else self.weights.folder()
        if folder is None or not (folder / "tokenizer.json").is_file():
            raise ModelError(
                f"{self.name}: {self.tokenizer or folder} holds no tokenizer.json. "
                "Name the tokenizer's folder with tokenizer=PATH."
            )
        return folder
