"""A small segmenter of white cells, trained on pairs: real, augmented or painted ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..augment import apply
from ..gan.cyclegan_painting import to_square
from ..gan.data import to_network, turned
from ..gan.layers import Hourglass, initialise
from ..gan.precision import autocast_dtype, working_type
from ..io.trimaps import NUCLEUS
from .white_cells import Pair


class TrimapNet(nn.Module):
    """Segment a white cell: an hourglass with skips, and a logit per class; 8 filters, 0.03 M weights."""

    def __init__(self, filters: int = 8) -> None:
        super().__init__()
        self.trunk = Hourglass(3, filters, 1, halvings=2, upsample="resize", padding="reflect", skips=True)
        self.head = nn.Conv2d(filters, NUCLEUS + 1, 1)
        initialise(self, scaled=True)

    def forward(self, image: Tensor) -> Tensor:
        """Take (N, 3, H, W) in [-1, 1]; give logits (N, 3, H, W)."""
        return self.head(self.trunk(image.to(working_type(image)))).float()


def geometric(image: np.ndarray, trimap: np.ndarray, rng: np.random.Generator) -> Pair:
    """Flip, turn by any angle, scale by 0.8 to 1.25 and shift by up to a tenth; mirrored at the border."""
    view = int(rng.integers(8))
    image, trimap = (np.ascontiguousarray(turned(array, view)) for array in (image, trimap))
    height, width = trimap.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(0, 360), rng.uniform(0.8, 1.25))
    matrix[:, 2] += rng.uniform(-0.1, 0.1, 2) * (width, height)
    moved = [
        cv2.warpAffine(array, matrix, (width, height), flags=kind, borderMode=cv2.BORDER_REFLECT_101)
        for array, kind in ((image, cv2.INTER_LINEAR), (trimap, cv2.INTER_NEAREST))
    ]
    return moved[0], moved[1]


def noisy(image: np.ndarray, trimap: np.ndarray, rng: np.random.Generator) -> Pair:
    """Add Gaussian noise of a random strength, as in `bloodlib.augment`."""
    image, _ = apply(["Gaussian noise"], image, trimap.astype(np.int32), rng=rng)
    return image, trimap


AUGMENTED: dict[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], Pair]] = {
    "geometric": geometric,
    "noise": noisy,
}


def train_trimap_net(
    pairs: Sequence[Pair],
    synthetic: Sequence[Pair] = (),
    augmentations: Sequence[str] = (),
    *,
    side_px: int = 64,
    steps: int = 200,
    batch: int = 8,
    seed: int = 0,
) -> TrimapNet:
    """Train a segmenter on pairs; torch's global random state is left as it was.

    Parameters
    ----------
    pairs, synthetic : sequence of (picture, trimap)
        Where both are given, half of every batch is synthetic.
    augmentations : sequence of str
        Keys of `AUGMENTED`, applied in order to every sample.
    side_px, steps, batch, seed : int

    Raises
    ------
    ValueError
        If there is no pair at all, or an augmentation is unknown.
    """
    unknown = [name for name in augmentations if name not in AUGMENTED]
    if unknown or not (len(pairs) or len(synthetic)):
        raise ValueError(
            f"augmentations {unknown} are unknown, allowed are {', '.join(AUGMENTED)}"
            if unknown
            else "no pair to train on"
        )
    pools = [
        [(to_square(i, side_px), to_square(t, side_px)) for i, t in pool] for pool in (pairs, synthetic) if len(pool)
    ]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed GPUs as well
        net = TrimapNet().to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for step in range(steps):
        rng = np.random.default_rng([seed, step])
        drawn = []
        for k in range(batch):
            pool = pools[k % len(pools)]
            image, trimap = pool[int(rng.integers(len(pool)))]
            for name in augmentations:
                image, trimap = AUGMENTED[name](image, trimap, rng)
            drawn.append((to_network(image), torch.from_numpy(trimap.astype(np.int64))))
        images, targets = (torch.stack(part) for part in zip(*drawn, strict=True))
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast_dtype() is torch.bfloat16):
            logits = net(images.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits, targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


@torch.no_grad()
def segment(net: TrimapNet, image: np.ndarray, side_px: int = 64) -> np.ndarray:
    """Find the trimap uint8 (H, W) of a picture uint8 (H, W, 3), at its own size."""
    logits = net(to_network(to_square(image, side_px))[None])
    grown = F.interpolate(logits, image.shape[:2], mode="bilinear", align_corners=False)
    return grown[0].argmax(dim=0).numpy().astype(np.uint8)


def by_thresholds(image: np.ndarray) -> np.ndarray:
    """Find the trimap by two thresholds on green (Otsu's method for three classes): what needs no training."""
    from skimage.filters import threshold_multiotsu

    green = image[..., 1]
    return (NUCLEUS - np.digitize(green, threshold_multiotsu(green, 3), right=True)).astype(np.uint8)
