"""ObjectNet (Barbu et al. 2019): the images of the run's categories, without their red border."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from PIL import Image

from imagenetd.config.ranges import Range
from imagenetd.errors import ConfigError, DataError
from imagenetd.images.datasets.dataset import DOCS, Dataset, Listing
from imagenetd.images.datasets.labels import NameResolver, refuse_merged
from imagenetd.images.decode import UndecodableError
from imagenetd.records import Identity
from imagenetd.words.vocabulary import Category


@dataclass(kw_only=True)
class ObjectNetDataset(Dataset):
    """`root/[images/]<object>/*.png`; of its 313 objects, 113 are the categories of ImageNet-D.

    Args:
        border_px: Width of the border that is cut off on every side.
        check_counts: Stop when the folder of a category is missing.
    """

    border_px: Annotated[int, Range(0, 16_384)] = 2
    check_counts: bool = True

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.border_px < 0:
            raise ConfigError(
                f"data.border_px={self.border_px} is negative: give the pixels that are cut off."
            )

    def identity(self) -> Identity:
        """Return the options that change the pixels."""
        return super().identity() | {"border_px": self.border_px}

    def decode(self, data: bytes) -> Image.Image:
        """Return the image inside the border."""
        image, border = super().decode(data), self.border_px
        if min(image.size) <= 2 * border:
            raise UndecodableError(
                f"{image.width} x {image.height} pixels leave nothing inside a border of {border}"
            )
        return image.crop((border, border, image.width - border, image.height - border))

    def listing(self, categories: Sequence[Category]) -> Listing:
        """Return the images of the categories; other objects of ObjectNet are counted as ignored."""
        found, resolver = self.files(), NameResolver(categories)
        listing = Listing(ignored=found.ignored)
        seen: set[str] = set()
        names: set[str] = set()
        for file in found.files:
            parts = file.parts[1:] if file.parts[0] == "images" else file.parts
            category = resolver.find(parts[0]) if len(parts) > 1 else None
            if category is None:
                listing.ignored["files of objects that are no category of this run"] += 1
                continue
            seen.add(category)
            names.add(parts[0])
            listing.add(file, category, self.kind)
        refuse_merged(sorted(names), resolver, where=f"data.root={self.root}")
        lacking = [category.name for category in categories if category.name not in seen]
        if lacking and self.check_counts:
            raise DataError(
                f"data.root={self.root} has no folder for {len(lacking)} of {len(categories)} categories, e.g. "
                f"{', '.join(lacking[:3])}. Name the folder of ObjectNet, or go on with data.check_counts=false; {DOCS}"
            )
        return self.settle(listing, resolver)
