"""One training with Lightning: a network of the zoo or a fresh one, on labelled images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from experiments.fine_tuning.images import Labelled
from imagenetd.config.schema import CONF_DIR, build
from imagenetd.images.tiny_world import CATEGORIES
from imagenetd.words.vocabulary import choose_categories

SCRATCH = "scratch:"
WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""

AUGMENTATIONS: dict[str, Callable[[], list[Any]]] = {
    "plain": lambda: [],
    "colour": lambda: [v2.ColorJitter(0.4, 0.4, 0.4, 0.2)],
    "trivial": lambda: [v2.TrivialAugmentWide()],
    "augmix": lambda: [v2.AugMix()],
}
"""Between the mirroring and shifting that every arm has, and the network's own preprocessing."""


@dataclass(frozen=True)
class Start:
    """A network and how it is spoken to."""

    network: nn.Module
    transform: Callable[[Image.Image], Tensor]
    accepted: dict[str, tuple[int, ...]]
    """Category -> classes that are right for it."""


def start(name: str, seed: int) -> Start:
    """Return a model of `conf/target`, or, for `scratch:ARCHITECTURE`, a fresh timm network of the tiny world."""
    if name.startswith(SCRATCH):
        import timm

        torch.manual_seed(seed)
        network = timm.create_model(name.removeprefix(SCRATCH), num_classes=len(CATEGORIES))
        normal = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])
        accepted: dict[str, tuple[int, ...]] = {c: (i,) for i, c in enumerate(CATEGORIES)}
        return Start(network, lambda image: normal(image) * 2 - 1, accepted)
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        spec = OmegaConf.to_container(compose("config", overrides=[f"target={name}"]).target, resolve=True)
    classifier = build(spec, option="target")
    categories = choose_categories(list(CATEGORIES))
    classifier.load(categories, torch.device("cpu"))
    space = classifier.label_space(categories)
    return Start(classifier.network(), classifier.transform, space.accepted)


class LabelledDataset(Dataset):
    """Augmented images with a mask of the classes that are right."""

    def __init__(self, labelled: Labelled, begin: Start, num_classes: int, augmentation: str) -> None:
        self.labelled, self.begin, self.num_classes = labelled, begin, num_classes
        shift = v2.RandomAffine(0, translate=(0.06, 0.06))
        self.augment = v2.Compose([v2.RandomHorizontalFlip(), shift, *AUGMENTATIONS[augmentation]()])

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return pixels and mask."""
        image = self.augment(Image.fromarray(self.labelled.images[index]))
        mask = torch.zeros(self.num_classes, dtype=torch.bool)
        mask[list(self.begin.accepted[self.labelled.categories[index]])] = True
        return self.begin.transform(image), mask


class Learner(lightning.LightningModule):
    """Minimises minus the logarithm of the probability of all classes that are right."""

    def __init__(self, network: nn.Module, *, learning_rate: float, weight_decay: float, steps: int) -> None:
        super().__init__()
        self.network, self.learning_rate, self.weight_decay, self.steps = (
            network,
            learning_rate,
            weight_decay,
            steps,
        )

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        """Return the loss of a batch."""
        pixels, right = batch
        log_probability = self.network(pixels).float().log_softmax(dim=1)
        return -log_probability.masked_fill(~right, -torch.inf).logsumexp(dim=1).mean()

    def configure_optimizers(self) -> Any:
        """AdamW with a short rise and a cosine fall."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self.learning_rate, total_steps=self.steps, pct_start=WARM_UP
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def train(begin: Start, labelled: Labelled, arm: dict[str, Any], options: dict[str, Any], seed: int) -> None:
    """Train the network in place for the steps of the arm."""
    lightning.seed_everything(seed, verbose=False)
    num_classes = begin.network(begin.transform(Image.fromarray(labelled.images[0]))[None]).shape[1]
    data = LabelledDataset(labelled, begin, num_classes, arm["augmentation"])
    loader = DataLoader(
        data, batch_size=options["batch_size"], shuffle=True, drop_last=len(data) > options["batch_size"]
    )
    learner = Learner(
        begin.network.requires_grad_(True).to(memory_format=torch.channels_last),
        learning_rate=options["learning_rate"],
        weight_decay=options["weight_decay"],
        steps=arm["steps"],
    )
    trainer = lightning.Trainer(
        max_steps=arm["steps"],
        precision=options["precision"],
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(learner.train(), loader)
    begin.network.eval()


def right_answers(begin: Start, labelled: Labelled, *, batch_size: int = 256) -> np.ndarray:
    """Return bool "images": the network's best class is right."""
    found: list[bool] = []
    begin.network.eval()
    with torch.inference_mode():
        for first in range(0, len(labelled), batch_size):
            images: Sequence[np.ndarray] = labelled.images[first : first + batch_size]
            pixels = torch.stack([begin.transform(Image.fromarray(image)) for image in images])
            best = begin.network(pixels).argmax(dim=1).tolist()
            names = labelled.categories[first : first + batch_size]
            found += [guess in begin.accepted[name] for guess, name in zip(best, names, strict=True)]
    return np.array(found)
