"""Dual encoders of the open_clip library as zero-shot classifiers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, final

from imagenetd.errors import ModelError
from imagenetd.models.classifier import Classifier
from imagenetd.models.hub import HubFile, fetch, missing_file, resolve_local
from imagenetd.models.open_clip_weights import OpenClipWeights
from imagenetd.models.weights import load_error, plain
from imagenetd.models.zero_shot import cached_head, read_templates
from imagenetd.ranges import Batch, Megabytes, Range
from imagenetd.records import LabelSpace, MissingFile
from imagenetd.relations import data_names
from imagenetd.store import file_sha256
from imagenetd.vocabulary import Category, clip_name

if TYPE_CHECKING:
    import torch
    from jaxtyping import Float
    from PIL import Image
    from torch import Tensor


@final
class OpenClipClassifier(Classifier):
    """A dual encoder whose classes are the chosen categories: cosine similarity to the mean of their prompts.

    Args:
        architecture: Name in open_clip, e.g. `ViT-L-14-quickgelu`; null: as the checkpoint folder says.
        weights: Tag in open_clip's table, e.g. `openai`; it also settles preprocessing and quick-GELU.
        checkpoint: Local weights instead of the hub's: a file, a folder as open_clip saves it, `package:...`.
        tokenizer: Folder of a tokenizer; null: the architecture's own, or the one beside the weights.
        revision: Branch, tag or commit of the weights on the hub; null: `main`.
        templates: Sentences with `{category}`, several are averaged; or a file of them, or `ensemble_v1`.
        bare_name: Use the category's name alone instead of the templates.
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
        tokenizer: str | None = None,
        revision: str | None = None,
        templates: list[str] | str | None = None,
        bare_name: bool = False,
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
        self.tokenizer, self.force_quick_gelu = tokenizer, force_quick_gelu
        self.templates = ("{category}",) if bare_name else read_templates(templates, name=self.name)
        self.training_data = data_names(training_data)
        self.logit_scale, self.batch_size, self.family, self.size_mb = (
            logit_scale,
            batch_size,
            family,
            size_mb,
        )
        self._model: Any = None
        self._transform: Any = None
        self._head: Tensor | None = None
        self._provenance: dict[str, Any] = {}

    def missing_files(self, option: str) -> list[MissingFile]:
        """Return weights and tokenizer if neither a local path, nor the cache, nor the hub has them."""
        asked: list[tuple[HubFile, float | None, str]] = []
        if self.weights.local_path() is None:
            asked.append((self.weights.hub_file(), self.size_mb, f"{option}.checkpoint=PATH"))
        if self.tokenizer is None and self.weights.architecture is not None:
            repo = self.weights.model_config()["text_cfg"].get("hf_tokenizer_name")
            if repo:
                asked.append((HubFile(repo, ("tokenizer.json",)), None, f"{option}.tokenizer=PATH"))
        found = [missing_file(file, size_mb=size, option=place) for file, size, place in asked]
        return [file for file in found if file is not None]

    def identity(self, categories: Sequence[Category]) -> dict[str, Any]:
        """Return network, weights, preprocessing, and the prompts, which are the zero-shot head."""
        path = self.weights.local_path()
        words = self._tokenizer_folder()
        return {
            "adapter": "open_clip",
            "architecture": self.weights.architecture or self.weights.model_config(),
            "weights": f"sha256:{file_sha256(path)}" if path else self.weights.hub_file().spelt(),
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
        self._model = self._build(path).to(device).eval().requires_grad_(False)
        preprocessing = PreprocessCfg(**self._model.visual.preprocess_cfg)
        self._transform = image_transform_v2(preprocessing, is_train=False)
        made_of = self.identity(categories) | {
            "weights": file_sha256(path),
            "library": f"open_clip {open_clip.__version__}",
        }
        head = cached_head(self.cache_dir, made_of, lambda: self._encode_prompts(categories, device))
        self._head = head.to(device)
        self._provenance = {
            "file": str(path),
            "sha256": file_sha256(path),
            "preprocessing": plain(self._model.visual.preprocess_cfg),
            "library": f"open_clip {open_clip.__version__}",
        }

    def provenance(self) -> dict[str, Any]:
        """Return what was loaded."""
        return dict(self._provenance)

    def transform(self, image: "Image.Image") -> 'Float[Tensor, "3 h w"]':
        """Resize, crop and normalise as open_clip evaluates the model."""
        return self._transform(image.convert("RGB"))

    def logits(self, batch: 'Float[Tensor, "images 3 h w"]') -> 'Float[Tensor, "images classes"]':
        """Return the scaled cosine similarity of each image to each category's prompts."""
        import torch

        with torch.inference_mode():
            features: Any = self.features(batch)
            return self.logit_scale * features @ self._head

    def features(self, batch: 'Float[Tensor, "images 3 h w"]') -> 'Float[Tensor, "images features"]':
        """Return the image features of length 1."""
        import torch

        with torch.inference_mode():
            return self._model.encode_image(batch, normalize=True).float()

    def _build(self, path: Path) -> Any:
        """Return the network with all weights from the file, or raise ModelError."""
        import open_clip

        architecture = self.weights.architecture
        try:
            return open_clip.create_model(
                architecture or f"local-dir:{self.weights.folder()}",
                pretrained=None if architecture is None else str(path),
                precision="fp32",
                force_quick_gelu=self.force_quick_gelu or self.weights.needs_quick_gelu(),
                force_preprocess_cfg=self.weights.preprocessing(),
                require_pretrained=True,
                weights_only=True,
            )
        except ModelError:
            raise
        except Exception as error:  # each format has its own errors
            label = architecture or str(self.weights.folder())
            raise load_error(error, name=self.name, path=path, architecture=label) from error

    def _encode_prompts(self, categories: Sequence[Category], device: "torch.device") -> "Tensor":
        """Return the zero-shot head, "features classes": the mean of each category's normalised prompts."""
        import torch
        from torch.nn.functional import normalize

        prompts = [self.prompts(category) for category in categories]
        tokens = self._tokenize([text for texts in prompts for text in texts]).to(device)
        with torch.inference_mode():
            chunks = [self._model.encode_text(chunk, normalize=True).float() for chunk in tokens.split(256)]
            grouped = torch.cat(chunks).unflatten(0, (len(prompts), len(self.templates)))
            return normalize(grouped.mean(dim=1), dim=-1).T

    def _tokenize(self, texts: list[str]) -> "Tensor":
        import open_clip
        from open_clip.tokenizer import HFTokenizer

        folder = self._tokenizer_folder()
        if folder is not None:
            text_cfg = self.weights.model_config()["text_cfg"]
            tokenizer = HFTokenizer(
                str(folder),
                context_length=self._model.context_length,
                tokenizer_mode=text_cfg.get("tokenizer_mode"),
                **text_cfg.get("tokenizer_kwargs", {}),  # SigLIP's strips punctuation
            )
            self._check_lengths(texts, tokenizer.tokenizer(texts)["input_ids"])
            return tokenizer(texts)
        return open_clip.get_tokenizer(self.weights.architecture)(texts)

    def _check_lengths(self, texts: list[str], tokens: list[list[int]]) -> None:
        """Refuse prompts that the text tower would cut off in silence."""
        text, ids = max(zip(texts, tokens, strict=True), key=lambda pair: len(pair[1]))
        if len(ids) > self._model.context_length:
            raise ModelError(
                f"{self.name} reads {self._model.context_length} tokens, but {text!r} has {len(ids)}: these words are "
                "not in its vocabulary. Choose categories that it knows, or another model."
            )

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
