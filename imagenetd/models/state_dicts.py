"""The weights of a network in a checkpoint: which of its entries they are, freed of what training wraps around them."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagenetd.errors import ModelError, nearest
from imagenetd.models.weight_files import tensor_mappings
from imagenetd.records import ModelFacts

if TYPE_CHECKING:
    from torch import Tensor

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "state")
"""Keys under which training scripts keep the weights, best first; averaged weights go before all of them."""

PREFIXES = ("model.", "net.", "network.", "backbone.", "encoder.", "classifier.", "student.")
"""Put before every name by training frameworks; only asked where the network's own names are not known."""

TRANSPARENT = frozenset(
    {
        "module",
        "_orig_mod",
        "_fsdp_wrapped_module",
        "_fpw_module",
        "_checkpoint_wrapped_module",
        "_forward_module",
    }
)
"""Parts of a name that DataParallel and its kin, torch.compile, FSDP and DeepSpeed put in, at any depth."""

AVERAGES = frozenset({"ema", "swa", "avg", "average", "averaged", "averages", "shadow", "polyak"})
"""Words by which checkpoints call weights that are averaged over training steps: the published ones."""

BESIDE = (
    "criterion",
    "loss",
    "train_loss",
    "val_loss",
    "metric",
    "train_acc",
    "val_acc",
    "test_acc",
    "n_averaged",
)
"""What training modules hold beside the network, where its names have no prefix."""

TOP = "top"
"""Name of the entry whose weights lie in the file itself, below no key."""


@dataclass(frozen=True, slots=True)
class StateDict:
    """The weights of one network, under the names that it gives them itself."""

    tensors: dict[str, "Tensor"]
    entry: str
    """Which part of the file they are: `state_dict_ema`, `state_dict.model`, `top`."""
    left_out: tuple[str, ...] = ()
    """Other tensors beside them, which are not part of the network."""
    others: tuple[str, ...] = ()
    """Other entries that would fit, e.g. the raw weights beside averaged ones."""

    def told(self) -> ModelFacts:
        """Return, as plain values, what was read: for the provenance."""
        beside = {"left_out": list(self.left_out[:20])} if self.left_out else {}
        others = {"other_entries": list(self.others)} if self.others else {}
        return {"entry": self.entry} | others | beside


@dataclass(frozen=True, slots=True)
class _Fit:
    """A part of a checkpoint that holds all weights of a network."""

    label: str
    prefix: str
    tensors: dict[str, "Tensor"] = field(repr=False)
    left_out: tuple[str, ...]
    unexpected: tuple[str, ...]

    @property
    def entry(self) -> str:
        return ".".join(part for part in (self.label, self.prefix.rstrip(".")) if part) or TOP

    @property
    def is_average(self) -> bool:
        return is_average(self.entry)


def is_average(entry: str) -> bool:
    """Tell whether a name speaks of averaged weights.

    >>> [is_average(name) for name in ("state_dict_ema", "EMACallback.shadow", "model_ema2", "schema", "avgpool")]
    [True, True, True, False, False]
    """
    words = re.findall(r"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|[A-Z]+(?=[A-Z][a-z])", entry)
    return any(word.lower() in AVERAGES for word in words)


def choose_weights(
    content: Any, path: Path, *, shapes: Mapping[str, Sequence[int]] | None = None, entry: str | None = None
) -> StateDict:
    """Return the weights in what `open_weights` gave.

    Averaged weights go before raw ones. Where the names of the network are known, an entry must hold all of them, below
    one prefix; what lies beside the network (a loss, a metric) is left out. Where no entry does, the names are freed of
    the known prefixes, for a library that converts them.

    Args:
        content: Of the file.
        path: For messages.
        shapes: Name -> shape of what the network must find; None: not known.
        entry: Which part of the file to read; None: as above.

    Raises:
        ModelError: When nothing can be meant, or more than one thing.
    """
    mappings = tensor_mappings(content)
    if not mappings:
        found = f"a {type(content).__name__}"
        if isinstance(content, Mapping):
            found = f"a mapping with {', '.join(map(str, list(content)[:5])) or 'nothing'}"
        raise ModelError(
            f"{path} holds {found} where weights are expected. Save the network's state dict, as safetensors at best."
        )
    fits = [fit for label, mapping in mappings.items() for fit in _fits(label, mapping, shapes or {})]
    inside = [
        part for label, mapping in mappings.items() for part in _averages_inside(label, mapping, shapes or {})
    ]
    averages = [label for label in (*mappings, *_unnamed(content)) if is_average(label)] + inside
    if fits:
        return _chosen(fits, averages, path, entry)
    return _unfitted(mappings, averages, path, entry)


def _chosen(fits: list[_Fit], averages: list[str], path: Path, entry: str | None) -> StateDict:
    names = tuple(dict.fromkeys(fit.entry for fit in fits))
    if entry is not None:
        wanted = [fit for fit in fits if entry.rstrip(".") in (fit.entry, fit.label)]
        if not wanted:
            raise _no_entry(path, entry, names)
    else:
        wanted = [fit for fit in fits if fit.is_average]
        if averages and not wanted:
            raise ModelError(
                f"{path} holds averaged weights ({averages[0]}) that do not fit the network, beside {names[0]}. Say "
                f"which are to be read, e.g. checkpoint_entry={names[0]}."
            )
        wanted = wanted or [fit for fit in fits if "current_model_state" not in fit.entry] or fits
        exact = [fit for fit in wanted if not fit.unexpected]
        wanted = exact or wanted
    first = wanted[0]
    differing = [fit.entry for fit in wanted[1:] if not _same(first.tensors, fit.tensors)]
    if differing:
        raise ModelError(
            f"{path} holds several weights that fit: {', '.join([first.entry, *differing])}. "
            f"Say which, e.g. checkpoint_entry={first.entry}."
        )
    others = tuple(name for name in names if name != first.entry)
    return StateDict(first.tensors, first.entry, first.left_out, others)


def _unfitted(
    mappings: dict[str, dict[str, "Tensor"]], averages: list[str], path: Path, entry: str | None
) -> StateDict:
    """Return the likeliest weights where no part has all names of the network, e.g. for a library that converts."""
    named = {label or TOP: mapping for label, mapping in mappings.items()}
    if entry is not None:
        if entry.rstrip(".") not in named:
            raise _no_entry(path, entry, tuple(named))
        chosen = entry.rstrip(".")
    else:
        ranked = [label for label in named if is_average(label)]
        if averages and not ranked:
            raise ModelError(
                f"{path} holds averaged weights ({averages[0]}) without names. Say which are to be read, "
                f"e.g. checkpoint_entry={next(iter(named))}."
            )
        ends = {label: label.rpartition(".")[2] for label in named}
        ranked += [label for key in WRAPPERS for label in named if ends[label] == key]
        large = max(named, key=lambda label: len(named[label]))
        ranked = [label for label in ranked if 2 * len(named[label]) >= len(named[large])]
        chosen = ranked[0] if ranked else large
    tensors, left_out = without_wrapping(named[chosen])
    return StateDict(tensors, chosen, left_out, tuple(label for label in named if label != chosen))


def _no_entry(path: Path, entry: str, names: Sequence[str]) -> ModelError:
    close = nearest(entry, names)
    hint = f" Did you mean {close}?" if close else ""
    return ModelError(
        f"{path} has no weights under checkpoint_entry={entry}; it has them under {', '.join(names)}.{hint}"
    )


def _fits(label: str, mapping: Mapping[str, "Tensor"], shapes: Mapping[str, Sequence[int]]) -> Iterator[_Fit]:
    """Yield each prefix below which a mapping has all names of the network."""
    if not shapes:
        return
    wanted = {canonical(name): name for name in shapes}
    held: dict[str, str] = {}
    for name in mapping:
        held.setdefault(canonical(name), name)
    num_found: dict[str, int] = {}
    for name in held:
        for prefix, rest in _splits(name):
            if rest in wanted:
                num_found[prefix] = num_found.get(prefix, 0) + 1
    full = [prefix for prefix, count in num_found.items() if count == len(wanted)]
    shaped = [
        prefix
        for prefix in full
        if all(
            tuple(mapping[held[prefix + own]].shape) == tuple(shapes[name]) for own, name in wanted.items()
        )
    ]
    for prefix in shaped or full:
        inside = {name.removeprefix(prefix): name for name in held if name.startswith(prefix)}
        beside = [name for name in held if not name.startswith(prefix)]
        tensors = {wanted.get(own, own): mapping[held[name]] for own, name in inside.items()}
        if not prefix:  # what has no prefix stands among the network's own names
            extra = [own for own in inside if own not in wanted and _is_beside(own, full)]
            tensors = {name: value for name, value in tensors.items() if name not in extra}
            beside += extra
        unexpected = [name for name in tensors if name not in shapes]
        yield _Fit(label, prefix, tensors, tuple(beside), tuple(unexpected))


def _averages_inside(
    label: str, mapping: Mapping[str, "Tensor"], shapes: Mapping[str, Sequence[int]]
) -> list[str]:
    """Return the first parts of names that speak of averages, below which there are about as many as a network has.

    Latent diffusion keeps them so, as `model_ema.` and names without dots: they fit nothing, and are not raw weights.
    """
    own = {canonical(name).partition(".")[0] for name in shapes}
    # A number alone, such as how often was averaged, is no weight.
    counts = Counter(canonical(name).partition(".")[0] for name, value in mapping.items() if value.ndim)
    return [
        f"{label}.{first}" if label else first
        for first, count in counts.items()
        if first not in own and is_average(first) and shapes and 2 * count >= len(shapes)
    ]


def _is_beside(name: str, prefixes: Sequence[str]) -> bool:
    """Tell whether a name is a loss, a metric, or of another copy of the network."""
    first = name.partition(".")[0]
    is_copy = any(prefix and name.startswith(prefix) for prefix in prefixes)
    return is_copy or first in BESIDE or first.startswith(("criterion", "loss", "metric"))


def canonical(name: str) -> str:
    """Return a name without what wrappers put into it.

    >>> canonical("module._orig_mod.layer1._checkpoint_wrapped_module.conv.weight")
    'layer1.conv.weight'
    """
    return ".".join(part for part in name.split(".") if part not in TRANSPARENT)


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """Yield every way to cut a name into a prefix and the rest."""
    yield "", name
    for dot in re.finditer(r"\.", name):
        yield name[: dot.end()], name[dot.end() :]


def without_wrapping(state: Mapping[str, "Tensor"]) -> tuple[dict[str, "Tensor"], tuple[str, ...]]:
    """Return the tensors without what frameworks put before all names, and the names of what lies beside them.

    >>> without_wrapping({"module._orig_mod.model.fc.weight": 1, "criterion.weight": 2})
    ({'fc.weight': 1}, ('criterion.weight',))
    """
    cleaned = {canonical(name): value for name, value in state.items()}
    left_out = tuple(name for name in cleaned if _is_beside(name, ()))
    cleaned = {name: value for name, value in cleaned.items() if name not in left_out}
    while prefix := next(
        (p for p in PREFIXES if len(cleaned) > 0 and all(name.startswith(p) for name in cleaned)), None
    ):
        cleaned = {name.removeprefix(prefix): value for name, value in cleaned.items()}
    return cleaned, left_out


def prefixes_of(names: Sequence[str]) -> list[str]:
    """Return the first parts of names, the most frequent first, for a message.

    >>> prefixes_of(["net.a", "net.b", "loss.c"])
    ['net', 'loss']
    """
    firsts = [canonical(name).partition(".")[0] for name in names]
    return sorted(dict.fromkeys(firsts), key=lambda first: -firsts.count(first))


def _same(one: Mapping[str, "Tensor"], other: Mapping[str, "Tensor"]) -> bool:
    import torch

    return one.keys() == other.keys() and all(
        one[name].shape == other[name].shape and torch.equal(one[name], other[name]) for name in one
    )


def _unnamed(content: Any, *, label: str = "", depth: int = 0) -> Iterator[str]:
    """Yield the places of lists of tensors: weights without names, as torch_ema keeps averaged ones."""
    import torch

    if isinstance(content, list | tuple) and content and all(isinstance(v, torch.Tensor) for v in content):
        yield label
    if isinstance(content, Mapping) and depth <= 4:
        for key, value in content.items():
            yield from _unnamed(value, label=f"{label}.{key}" if label else str(key), depth=depth + 1)
