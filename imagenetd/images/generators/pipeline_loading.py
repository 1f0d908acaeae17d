"""Reads a diffusers pipeline, safetensors only, and fits it to the machine."""

import inspect
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imagenetd.errors import ConfigError, ModelError
from imagenetd.images.generators.options import BUNDLED, Machine, Safety, Source
from imagenetd.store.hub import refuse_remote_code
from imagenetd.store.tensors import check_numbers


def quieten_libraries() -> None:
    """Keep the libraries' own progress bars and advice off the terminal."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()


def read_pipeline(source: Source, safety: Safety) -> Any:
    """Return the text-to-image pipeline of a folder or repository: no pickles, no code of a stranger."""
    import diffusers
    import torch

    without = [*source.without, *([] if safety.safety_checker == BUNDLED else ["safety_checker"])]
    options: dict[str, Any] = {"torch_dtype": getattr(torch, source.dtype), "use_safetensors": True}
    options |= {"trust_remote_code": False, **dict.fromkeys(without)}
    folder = source.folder()
    if source.variant:
        options["variant"] = source.variant
    if source.revision and folder is None:
        options["revision"] = source.revision
    refuse_remote_code()  # a component of transformers would ask on the terminal
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pipeline = diffusers.AutoPipelineForText2Image.from_pretrained(
                str(folder or source.model), **options
            )
    except (
        Exception
    ) as error:  # the libraries raise OSError, ValueError, KeyError, TypeError and their own for a bad folder
        raise ModelError(_reason(source.model, error)) from error
    pipeline.set_progress_bar_config(disable=True)
    for part, network in pipeline.components.items():
        if isinstance(network, torch.nn.Module):
            check_numbers(network.named_parameters(), place=f"generator.model={source.model}: {part}")
    return pipeline


def _reason(shown: str, error: Exception) -> str:
    """Return in one line why a pipeline cannot be loaded, and what to do."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    text = " ".join(lines)[:300]
    advice = "Name a complete diffusers folder with generator.model=FOLDER."
    if "safetensors" in text:
        advice = (
            "Only safetensors are read, never pickles (.bin, .pt): convert it once with "
            "pipeline.save_pretrained(FOLDER, safe_serialization=True), then generator.model=FOLDER."
        )
    elif "trust_remote_code" in text or "custom" in text or "execute" in text:
        advice = "It wants to run code of its own, which is never done. Use a pipeline of diffusers itself."
    return f"generator.model={shown} cannot be loaded: {text} {advice}"


def set_scheduler(pipeline: Any, name: str | None, options: Mapping[str, Any]) -> None:
    """Replace the pipeline's scheduler, or change some of its options."""
    import diffusers

    if not name and not options:
        return
    found = getattr(diffusers, name, None) if name else type(pipeline.scheduler)
    if found is None or not hasattr(found, "from_config"):
        raise ConfigError(f"generator.scheduler={name} is not a scheduler of diffusers.")
    known = inspect.signature(found.__init__).parameters
    for option in options:
        if option not in known:
            raise ConfigError(
                f"generator.scheduler_options.{option} is not an option of {found.__name__}: "
                f"it takes {', '.join(known)}."
            )
    pipeline.scheduler = found.from_config(pipeline.scheduler.config, **options)


def add_inversions(pipeline: Any, files: Mapping[str, str]) -> None:
    """Teach the text encoders new words (textual inversion).

    Args:
        pipeline: With one or two CLIP encoders.
        files: Token -> safetensors file. For two encoders it holds `clip_l` and `clip_g`.
    """
    from safetensors.torch import load_file

    for token, file in files.items():
        if not hasattr(pipeline, "load_textual_inversion"):
            raise ConfigError(
                f"generator.textual_inversions cannot be used: {type(pipeline).__name__} takes no new words. "
                "Set it to {}."
            )
        tensors = load_file(_safetensors(file, "generator.textual_inversions"))
        try:
            if "clip_l" in tensors and "clip_g" in tensors:
                for key, place in (("clip_l", ""), ("clip_g", "_2")):
                    parts = {"tokenizer": f"tokenizer{place}", "text_encoder": f"text_encoder{place}"}
                    chosen = {name: getattr(pipeline, part) for name, part in parts.items()}
                    pipeline.load_textual_inversion(tensors[key], token=token, **chosen)
            else:
                pipeline.load_textual_inversion(next(iter(tensors.values())), token=token)
        except (ValueError, AttributeError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"generator.textual_inversions: {file} does not fit the model: {reason}"
            ) from error


def add_loras(pipeline: Any, scales: Mapping[str, float]) -> None:
    """Melt LoRA weights into the model.

    Args:
        pipeline: Of diffusers.
        scales: Safetensors file -> weight.
    """
    if not scales:
        return
    names = []
    for number, file in enumerate(scales):
        path = Path(_safetensors(file, "generator.loras"))
        names.append(f"lora{number}")
        try:
            pipeline.load_lora_weights(
                str(path.parent), weight_name=path.name, adapter_name=names[-1], use_safetensors=True
            )
        except (ValueError, AttributeError, KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            advice = "Install it: pip install peft." if "peft" in reason.lower() else ""
            raise ModelError(
                f"generator.loras: {file} cannot be loaded: {reason} {advice}".rstrip()
            ) from error
    pipeline.set_adapters(names, [float(scale) for scale in scales.values()])
    pipeline.fuse_lora(adapter_names=names)
    pipeline.unload_lora_weights()


def _safetensors(file: str, option: str) -> str:
    path = Path(file).expanduser()
    if path.suffix != ".safetensors":
        raise ConfigError(
            f"{option}: {file} is no .safetensors file; pickles are never read. Convert it first."
        )
    if not path.is_file():
        raise ConfigError(f"{option}: {file} does not exist. Correct the path.")
    return str(path)


def fit(pipeline: Any, machine: Machine, device: str) -> Any:
    """Trade speed for memory, move the pipeline to its device, whole or part by part, and compile it."""
    import torch

    if machine.attention_slicing:
        pipeline.enable_attention_slicing()
    if machine.vae_slicing:
        pipeline.vae.enable_slicing()
    if machine.vae_tiling:
        pipeline.vae.enable_tiling()
    if machine.channels_last:
        for name in ("unet", "vae"):
            if getattr(pipeline, name, None) is not None:
                getattr(pipeline, name).to(memory_format=torch.channels_last)
    if machine.offload != "none" and not device.startswith("cuda"):
        raise ConfigError(
            f"generator.offload={machine.offload} needs a GPU, but the device is {device}. Set it to none."
        )
    if machine.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif machine.offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        pipeline = pipeline.to(device)
    denoiser = getattr(pipeline, "transformer", None) or getattr(pipeline, "unet", None)
    if machine.compile == "blocks" and denoiser is not None:
        denoiser.compile_repeated_blocks(fullgraph=True)
    elif machine.compile == "whole" and denoiser is not None:
        denoiser.compile()
    return pipeline
