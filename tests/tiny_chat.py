"""Random multimodal chat models of some thousand weights, made from configs: nothing is downloaded."""

from pathlib import Path

import torch

IMAGE = "<image>"
TEMPLATE = (
    "{% for message in messages %}USER: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }}{% endif %}{% endfor %} ASSISTANT:"
    "{% endfor %}"
)


def byte_tokenizer(*special: str) -> "object":
    """Return a tokenizer of single bytes and some special tokens; it reads and writes any text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = ["<pad>", "<s>", "</s>", *special]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: number for number, token in enumerate([*names, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=list(special),
    )


def save_tiny_llava(folder: Path, *, width: int = 16, num_layers: int = 1) -> Path:
    """Save a LLaVA with 24 thousand weights (at width 16) and its processor, as `save_pretrained` does."""
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = byte_tokenizer(IMAGE)
    pictures = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    processor = LlavaProcessor(
        pictures,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )
    sizes = {"hidden_size": width, "intermediate_size": width, "num_attention_heads": 2}
    vision = CLIPVisionConfig(**sizes, num_hidden_layers=2, image_size=28, patch_size=14, projection_dim=16)
    words = len(tokenizer)  # type: ignore[arg-type]
    depth = {"num_hidden_layers": num_layers, "num_key_value_heads": 2}
    text = LlamaConfig(**sizes, **depth, vocab_size=words, pad_token_id=0)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=3)
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_tiny_idefics3(folder: Path) -> Path:
    """Save an Idefics3, the network of SmolVLM, and its processor."""
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
        LlamaConfig,
    )

    marks = ("<fake_token_around_image>", IMAGE, "<global-img>", "<end_of_utterance>")
    tokenizer = byte_tokenizer(*marks)
    pictures = Idefics3ImageProcessor(
        size={"longest_edge": 32}, max_image_size={"longest_edge": 32}, do_image_splitting=False
    )
    processor = Idefics3Processor(pictures, tokenizer, image_seq_len=4, chat_template=TEMPLATE)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    words = len(tokenizer)  # type: ignore[arg-type]
    text = LlamaConfig(**sizes, num_hidden_layers=1, num_key_value_heads=2, vocab_size=words, pad_token_id=0)
    vision = {**sizes, "num_hidden_layers": 1, "image_size": 32, "patch_size": 8}
    config = Idefics3Config(
        vision_config=vision, text_config=text, image_token_id=4, scale_factor=2, pad_token_id=0
    )
    torch.manual_seed(0)
    Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_tiny_qwen2_vl(folder: Path) -> Path:
    """Save a Qwen2.5-VL and its processor."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    marks = ("<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>")
    tokenizer = byte_tokenizer(*marks)
    pixels = {"patch_size": 14, "merge_size": 2, "temporal_patch_size": 2}
    pictures = Qwen2VLImageProcessor(size={"shortest_edge": 28 * 28, "longest_edge": 56 * 56}, **pixels)
    template = TEMPLATE.replace(IMAGE, "<|vision_start|><|image_pad|><|vision_end|>")
    processor = Qwen2_5_VLProcessor(
        pictures, tokenizer, Qwen2VLVideoProcessor(**pixels), chat_template=template
    )
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text |= {"num_key_value_heads": 2, "vocab_size": len(tokenizer), "pad_token_id": 0}  # type: ignore[arg-type]
    text |= {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}}
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    vision |= {"patch_size": 14, "window_size": 56, "fullatt_block_indexes": [0]}
    config = Qwen2_5_VLConfig(
        vision_config=vision,
        text_config=text,
        vision_start_token_id=3,
        image_token_id=4,
        vision_end_token_id=5,
        video_token_id=6,
    )
    torch.manual_seed(0)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
