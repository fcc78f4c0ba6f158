"""From a smear to style features, and from a mask with style features to an image."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from .config import GanConfig
from .data import Labelled, to_image, to_network
from .networks import STRIDE, Encoder, GlobalGenerator, label_planes, pad_sides
from .pooling import lay_out, pool_instances
from .precision import autocast_dtype
from .styles import Styles, forms


@torch.no_grad()
def encode_smear(encoder: Encoder, smear: Labelled, terms: int = 1, scale: tuple[float, float] | None = None) -> Tensor:
    """Give the style of every instance, float32 (M + 1, terms · C), row 0 that of the background.

    With a `scale` the encoder sees the smear at that part of its height and width, and its features are enlarged
    by repetition, as pix2pixHD's are where it precomputes them (`GanConfig.encoder_scale`).
    """
    device = next(encoder.parameters()).device
    height, width = smear.instances.shape
    image = smear.image
    if scale is not None:
        size = (max(1, round(width * scale[1])), max(1, round(height * scale[0])))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    x = pad_sides(to_network(image))[None].to(device, memory_format=torch.channels_last)
    features = encoder(x)[:, :, : image.shape[0], : image.shape[1]]
    if scale is not None:
        features = nn.functional.interpolate(features, size=(height, width), mode="nearest")
    ids = torch.from_numpy(smear.instances.astype(np.int64))[None].to(device)
    return pool_instances(features, ids, terms)[1][0].cpu()


def find_styles(encoder: Encoder, smears: Sequence[Labelled], config: GanConfig, seed: int) -> Styles:
    """Encode everything in some smears, and cluster it as configured."""
    features = [encode_smear(encoder, smear, config.style_terms, config.encoder_scale).numpy() for smear in smears]
    kinds, seen = [smear.kinds for smear in smears], [forms(smear.instances, len(smear.kinds)) for smear in smears]
    whole = [~np.isin(np.arange(len(smear.kinds)), _border_ids(smear.instances)) for smear in smears]
    return Styles.fit(
        features,
        config.clusters,
        config.style_draw,
        seed,
        kinds,
        [form["sizes_px"] for form in seen],
        whole,
        config.cell_classes,
        [form["elongation"] for form in seen] if config.style_terms > 1 else None,
    )


def check_features(features: np.ndarray, cells: int, width: int) -> np.ndarray:
    """Give features as float32; refuse, by ValueError, all but `width` numbers for the background and for each cell."""
    features = np.asarray(features, dtype=np.float32)
    if features.shape != (cells + 1, width):
        raise ValueError(
            f"features are of shape {features.shape}; needed is ({cells + 1}, {width}): rows of features for the "
            f"background and {cells} cells, as `encode` gives them"
        )
    if not np.isfinite(features).all():
        raise ValueError(f"features of instance {int(np.argwhere(~np.isfinite(features))[0, 0])} are no finite numbers")
    return features


def check_objects(objects: np.ndarray, instances: np.ndarray) -> np.ndarray:
    """Give incidental objects as int32; refuse, by ValueError, what does not lie beside the cells of a mask."""
    if objects.shape != instances.shape or not np.issubdtype(objects.dtype, np.integer) or objects.min(initial=0) < 0:
        raise ValueError(
            f"objects are {objects.dtype} {objects.shape}; needed are ids ≥ 0 as int {instances.shape}, as the mask is"
        )
    if ((objects > 0) & (instances > 0)).any():
        raise ValueError("an object lies on a cell; give objects where no cell is")
    return objects.astype(np.int32)


def _border_ids(instances: np.ndarray) -> np.ndarray:
    """List the cells and objects that the border cuts."""
    edges = (instances[0], instances[-1], instances[:, 0], instances[:, -1])
    return np.setdiff1d(np.concatenate(edges), 0)


@torch.no_grad()
def paint_instances(
    generator: GlobalGenerator,
    instances: np.ndarray,
    styles: Tensor,
    kinds: np.ndarray | None = None,
    rng: np.random.Generator | None = None,
    *,
    fast: bool = False,
) -> np.ndarray:
    """Paint an instance mask with one style per instance.

    Parameters
    ----------
    generator : GlobalGenerator
    instances : int (H, W)
        Any size.
    styles : float (M + 1, K · C)
        Of every instance, row 0 for the background: K terms of each of the generator's C style features, as
        `encode_smear` gives them.
    kinds : int (M + 1,), optional
        Semantic class of each id; every instance is a cell if not given.
    rng : numpy.random.Generator, optional
        Draws the noise of a generator that has noise; it is left out if not given.
    fast : bool
        Whether to compute in bfloat16 where the machine can: less than a grey level away on
        average, but not the same bytes on every machine.

    Returns
    -------
    uint8 (H, W, 3)
    """
    device = next(generator.parameters()).device
    ids = torch.from_numpy(instances.astype(np.int64)).to(device)
    terms = styles.shape[1] // generator.feature_channels
    multiple = STRIDE if min(ids.shape) > STRIDE else 2 * STRIDE  # instance norm needs more than a pixel to the end
    features = pad_sides(lay_out(styles.to(device), ids, terms)[None], multiple)  # (1, C, H, W)
    ids = pad_sides(ids, multiple)[None]
    kind_map = None if kinds is None else torch.from_numpy(np.asarray(kinds, dtype=np.int64)).to(device)[ids]
    planes = label_planes(ids, kind_map, generator.labels).contiguous(memory_format=torch.channels_last)
    noise = None
    if generator.noise and rng is not None:
        noise = torch.from_numpy(rng.standard_normal((1, 1, *ids.shape[1:]), dtype=np.float32)).to(device)
    kind = autocast_dtype(device)
    with torch.autocast(device.type, kind, enabled=fast and kind is not torch.float32):
        painted = generator(planes, features, noise)
    return to_image(painted[0])[: instances.shape[0], : instances.shape[1]]
