"""Truth and worker quality estimated together, by crowd-kit: Dawid-Skene and GLAD."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from imagenetd.errors import ConfigError
from imagenetd.qc_config import AggregationMethod

YES, NO = "yes", "no"
NUM_ITERATIONS = 100


def crowd_probability(
    image: Int[np.ndarray, " votes"],
    worker: Int[np.ndarray, " votes"],
    accepts: Bool[np.ndarray, " votes"],
    *,
    num_images: int,
    method: AggregationMethod,
) -> Float[np.ndarray, " images"]:
    """Return the probability that each image is valid; NaN for an image without votes.

    crowd-kit wants words as labels and one row for each pair of image and worker; its import takes seconds.
    """
    num_votes = np.bincount(image, minlength=num_images)
    if len(image) == 0 or method is AggregationMethod.majority:
        num_yes = np.bincount(image[accepts], minlength=num_images)
        return np.where(num_votes == 0, np.nan, num_yes / np.maximum(num_votes, 1))
    import pandas as pd

    frame = pd.DataFrame({"task": image, "worker": worker, "label": np.where(accepts, YES, NO)})
    found = _model(method).fit_predict_proba(frame)
    share = found[YES] if YES in found else pd.Series(0.0, index=found.index)
    probability = np.full(num_images, np.nan)
    probability[share.index.to_numpy()] = share.to_numpy()
    return probability


def _model(method: AggregationMethod) -> Any:
    try:
        from crowdkit.aggregation import GLAD, DawidSkene
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"qc/aggregation={method.value} needs {error.name}, which is not installed. Install it with "
            "pip install 'imagenetd[qc]', or choose qc/aggregation=majority."
        ) from error
    if method is AggregationMethod.glad:
        return GLAD(n_iter=NUM_ITERATIONS)
    return DawidSkene(n_iter=NUM_ITERATIONS)
