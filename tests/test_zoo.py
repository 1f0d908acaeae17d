import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import get_object
from omegaconf import OmegaConf

from imagenetd.errors import ModelError
from imagenetd.models.classifier import Classifier
from imagenetd.models.timm import TimmClassifier
from imagenetd.store import hub
from imagenetd.words.vocabulary import Category, choose_categories
from tests import shipped

CONF = Path(__file__).parents[1] / "conf"
TARGETS = sorted(path.stem for path in (CONF / "target").glob("*.yaml"))
SURROGATES = sorted(path.stem for path in (CONF / "surrogates").glob("*.yaml"))
TINY = [name for name in TARGETS if name.startswith("tiny_")]
OPENAI = [
    name
    for name in TARGETS
    if "weights: openai" in (CONF / "target" / f"{name}.yaml").read_text().splitlines()
]
SLOTS = ["resnet50_ant", "resnet50_augmix", "resnet50_deepaugment", "resnet50_sin"]
NETWORKS = [
    name
    for name in TARGETS
    if re.search(r"^size_mb: \d", (CONF / "target" / f"{name}.yaml").read_text(), re.M)
]
"""Choices whose weights are on the hub."""
CHATS = ["llava_1_5_7b", "llava_next", "qwen_vl", "smolvlm"]
NETWORKS = [name for name in NETWORKS if name not in CHATS]


def composed(tmp_path: Path, group: str, choice: str) -> dict[str, Any]:
    """Compose one choice of one group, with the real files and a root of our own."""
    choices = [{"categories": "tiny"}, {group: choice}]  # some options name the categories of the run
    root = {"defaults": [*choices, "_self_"], "hydra": {"searchpath": [f"file://{CONF}"]}}
    (tmp_path / "root.yaml").write_text(json.dumps(root))
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        content = OmegaConf.to_container(compose("root"), resolve=True)
    assert isinstance(content, dict)
    return content[group]


def built(tmp_path: Path, choice: str) -> Classifier:
    spec = composed(tmp_path, "target", choice)
    return get_object(spec.pop("_target_"))(**spec)


@pytest.mark.parametrize("choice", TARGETS)
def test_a_target_yaml_names_every_argument_of_its_class(choice: str, tmp_path: Path) -> None:
    spec = composed(tmp_path, "target", choice)
    factory = get_object(spec.pop("_target_"))
    assert issubclass(factory, Classifier)
    assert set(spec) == set(inspect.signature(factory).parameters)
    factory(**spec)


@pytest.mark.parametrize("choice", TARGETS)
def test_a_target_yaml_opens_with_a_sentence(choice: str) -> None:
    first = (CONF / "target" / f"{choice}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ") and first.endswith(".")


@pytest.mark.parametrize("choice", SURROGATES)
def test_surrogates_land_under_their_own_names(choice: str, tmp_path: Path) -> None:
    models = composed(tmp_path, "surrogates", choice)
    for name, spec in models.items():
        assert spec == composed(tmp_path, "target", name)


@pytest.mark.parametrize("family", ["clip", "tiny"])
def test_surrogate_sets_are_nested(family: str, tmp_path: Path) -> None:
    sets = [list(composed(tmp_path, "surrogates", f"{n}_{family}")) for n in ("one", "two", "three", "four")]
    assert sets == [sets[3][:1], sets[3][:2], sets[3][:3], sets[3]] and len(sets[3]) == 4


def test_the_surrogates_of_the_paper(tmp_path: Path) -> None:
    models = composed(tmp_path, "surrogates", "paper")
    assert list(models) == ["clip_vit_l_14", "clip_vit_l_14_336", "clip_rn50", "resnet50_tv"]


def test_the_surrogates_of_the_ablation_begin_with_the_four_of_the_paper(tmp_path: Path) -> None:
    models = composed(tmp_path, "surrogates", "paper_eight")
    assert list(models)[:4] == list(composed(tmp_path, "surrogates", "paper"))
    assert list(models)[4:] == ["clip_rn101", "clip_vit_b_32", "vit_l", "vgg16"]


def network_on_meta(model: Any) -> torch.nn.Module:
    """Return the network of a choice without a byte of weights."""
    with torch.device("meta"):
        if isinstance(model, TimmClassifier):
            import timm

            return timm.create_model(model.source.architecture, num_classes=1000)
        import open_clip

        config = model.source.model_config()
        is_custom = config.pop("custom_text", False)
        return (open_clip.CustomTextCLIP if is_custom else open_clip.CLIP)(**config)


@pytest.mark.parametrize("choice", NETWORKS)
def test_a_network_of_the_zoo_exists_and_has_the_declared_size(choice: str, tmp_path: Path) -> None:
    model: Any = built(tmp_path, choice)
    tensors = network_on_meta(model).state_dict().values()
    size_mb = sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6
    assert model.source.size_mb == pytest.approx(size_mb, rel=0.02, abs=1)
    assert json.dumps(model.identity(choose_categories(["mug"])))


def chat_network(choice: str) -> torch.nn.Module:
    """Return the network of a chat model on the meta device, from the dimensions that its authors publish."""
    import transformers as tf

    llama = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "vocab_size": 32064}
    with torch.device("meta"):
        if choice == "llava_1_5_7b":
            text = tf.LlamaConfig(**llama, intermediate_size=11008)
            return tf.LlavaForConditionalGeneration(tf.LlavaConfig(text_config=text))
        if choice == "llava_next":
            text = tf.MistralConfig(**llama, intermediate_size=14336, num_key_value_heads=8)
            return tf.LlavaNextForConditionalGeneration(tf.LlavaNextConfig(text_config=text))
        if choice == "qwen_vl":
            words = {
                "vocab_size": 152064,
                "hidden_size": 3584,
                "intermediate_size": 18944,
                "num_hidden_layers": 28,
            }
            words |= {"num_attention_heads": 28, "num_key_value_heads": 4, "tie_word_embeddings": False}
            vision = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584}
            config = tf.Qwen2_5_VLConfig(text_config=words, vision_config=vision)
            return tf.Qwen2_5_VLForConditionalGeneration(config)
        text = tf.LlamaConfig(
            vocab_size=49155, hidden_size=2048, intermediate_size=8192, num_hidden_layers=24, pad_token_id=2
        )
        vision = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "image_size": 384}
        vision |= {"num_attention_heads": 16, "patch_size": 14}
        config = tf.Idefics3Config(text_config=text, vision_config=vision, scale_factor=3)
        return tf.Idefics3ForConditionalGeneration(config)


@pytest.mark.parametrize("choice", CHATS)
def test_a_chat_model_has_the_declared_size_at_two_bytes_a_weight(choice: str, tmp_path: Path) -> None:
    model: Any = built(tmp_path, choice)
    size_mb = 2 * sum(weight.numel() for weight in chat_network(choice).parameters()) / 1e6
    assert model.source.size_mb == pytest.approx(size_mb, rel=0.01)


@pytest.mark.parametrize("choice", CHATS)
def test_a_chat_model_out_of_reach_is_listed(
    choice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "cached_path", lambda file: None)
    monkeypatch.setattr(hub, "_sizes_mb", lambda repo, revision: None)
    (missing,) = built(tmp_path, choice).missing_files("target")
    assert (missing.option, missing.file) == ("target.model=FOLDER", "model.safetensors")
    assert missing.size_mb and missing.size_mb > 4000


@pytest.mark.parametrize("choice", SLOTS)
def test_a_slot_says_where_its_checkpoint_can_be_found(choice: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"Get github.com/.*, and set checkpoint=PATH") as caught:
        built(tmp_path, choice).missing_files("target")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("choice", shipped.TARGETS)
def test_a_shipped_target_has_a_family_that_the_docs_explain(choice: str, tmp_path: Path) -> None:
    docs = (CONF.parent / "docs" / "models.md").read_text()
    assert f"| `{composed(tmp_path, 'target', choice)['family']}` |" in docs
    assert f"`{choice}`" in docs


@pytest.mark.parametrize("choice", OPENAI)
def test_openai_weights_run_with_quick_gelu(choice: str, tmp_path: Path) -> None:
    spec = composed(tmp_path, "target", choice)
    factory = get_object(spec.pop("_target_"))
    model, plain = (
        factory(**spec),
        factory(**spec | {"architecture": spec["architecture"].removesuffix("-quickgelu")}),
    )
    assert model.source.model_config()["quick_gelu"] is True
    assert not plain.source.model_config().get("quick_gelu")
    assert plain.source.needs_quick_gelu()  # the tag settles it, whatever the name of the architecture


def test_quick_gelu_reaches_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import open_clip

    from imagenetd.models.open_clip import OpenClipClassifier

    monkeypatch.setitem(
        open_clip.pretrained._PRETRAINED, "ViT-S-32-alt", {"some": {"quick_gelu": True, "hf_hub": "a/b/"}}
    )
    torch.manual_seed(0)
    network = open_clip.create_model("ViT-S-32-alt", force_quick_gelu=True)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    model = OpenClipClassifier(
        architecture="ViT-S-32-alt", weights="some", checkpoint=str(tmp_path / "weights.pth")
    )
    model.load(choose_categories(["mug"]), torch.device("cpu"))
    kinds = {type(part).__name__ for part in model._model.modules()}
    assert "QuickGELU" in kinds and "GELU" not in kinds


@pytest.mark.parametrize("choice", NETWORKS)
def test_weights_out_of_reach_are_listed_with_size_and_option(
    choice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "cached_path", lambda file: None)
    monkeypatch.setattr(hub, "_sizes_mb", lambda repo, revision: None)
    missing, *words = built(tmp_path, choice).missing_files(f"surrogates.{choice}")
    assert missing.file.endswith(".safetensors")
    assert missing.size_mb is not None and missing.size_mb > 10
    assert missing.option == f"surrogates.{choice}.checkpoint=PATH"
    assert "/" in missing.source and "cannot be reached" in missing.source
    assert [file.option for file in words] == [f"surrogates.{choice}.tokenizer=PATH"] * choice.startswith(
        "siglip"
    )


def test_weights_on_a_hub_that_answers_are_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "cached_path", lambda file: None)
    monkeypatch.setattr(hub, "_sizes_mb", lambda repo, revision: {"open_clip_model.safetensors": 408.0})
    assert built(tmp_path, "clip_rn50").missing_files("target") == []
    monkeypatch.setattr(hub, "_sizes_mb", lambda repo, revision: {"README.md": 0.1})
    (missing,) = built(tmp_path, "clip_rn50").missing_files("target")
    assert "has no such file" in missing.source


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(hub, "_ask", lambda repo, revision, answer: asked.append(repo))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    hub._unreachable.clear()
    hub._sizes_mb.cache_clear()
    try:
        assert hub._sizes_mb("a/b", None) is None and hub._sizes_mb("c/d", None) is None
        assert asked == ["a/b"]
    finally:
        hub._unreachable.clear()
        hub._sizes_mb.cache_clear()


def test_a_cached_file_is_found_without_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "123"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"x")
    (tmp_path / "models--a--b" / "refs").mkdir()
    (tmp_path / "models--a--b" / "refs" / "main").write_text("123")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    file = hub.HubFile("a/b", ("other.bin", "model.safetensors"))
    assert hub.missing_file(file, size_mb=None, option="o") is None
    assert hub.fetch(file, option="o") == snapshot / "model.safetensors"


def test_hub_models_keep_their_identity_when_the_cache_fills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, categories = built(tmp_path, "resnet50"), choose_categories(["mug"])
    before = model.identity(categories)
    monkeypatch.setattr(hub, "cached_path", lambda file: tmp_path / "root.yaml")
    assert model.identity(categories) == before
    assert before["weights"] == "hub:timm/resnet50.a1_in1k@main"


@pytest.mark.parametrize("choice", TINY)
def test_the_shipped_models_load_and_know_the_tiny_world(
    choice: str, tmp_path: Path, tiny_categories: tuple[Category, ...]
) -> None:
    model = built(tmp_path, choice)
    assert model.missing_files("target") == []
    model.load(tiny_categories, torch.device("cpu"))
    logits = model.logits(torch.zeros(2, 3, 64, 64))
    assert logits.shape == (2, model.label_space(tiny_categories).num_classes)
