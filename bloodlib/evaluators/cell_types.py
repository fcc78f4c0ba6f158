"""A small classifier of cell types, whose features KID compares: no loss has ever seen it.

``python -m bloodlib.evaluators.cell_types`` trains it again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._files import package_data, read_json, replacing, sha256, write_json
from .._versions import versions
from ..datasets.pbc_subset import TYPE_NAMES, CellImages
from ..gan.precision import autocast_dtype

COMMAND = "python -m bloodlib.evaluators.cell_types"
WEIGHTS, CARD = "weights.safetensors", "card.json"
CLASS_NAMES = (*TYPE_NAMES, "red cells only")
CHANNELS = (24, 48, 72, 96, 128)
FEATURE_STAGES = (
    1,
    2,
    3,
    4,
)  # ours: a blur of 0.8 px or a grid of 4 grey levels moves them far, the last alone a little
RED_CELL_PX = 74.0  # measured: median width of red cells in the pictures of pbc_subset
SMEAR_CELL_PX = 38.0  # of Chula's red cells (FACTS: 38 ± 8)
TILES_PX = (64, 96)  # ours: sides of the training tiles, in turn
LOOKED_AT_PX = 96  # side of the tile that a held-out picture is classified by


class CellTypes(nn.Module):
    """Classify a tile of a smear.

    Five stages of two 3×3 convolutions, each with batch normalisation and ReLU, the first of one;
    maxima over 2×2 between them, the mean over the tile behind. 0.51 M parameters.

    Parameters
    ----------
    classes : int
    """

    def __init__(self, classes: int = len(CLASS_NAMES)) -> None:
        super().__init__()
        stages, before = [], 3
        for k, after in enumerate(CHANNELS):
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if k else []
            for _ in range(2 if k else 1):
                layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
                before = after
            stages.append(nn.Sequential(*layers))
        self.stages = nn.ModuleList(stages)
        self.classify = nn.Linear(before, classes)
        width = sum(CHANNELS[k] for k in FEATURE_STAGES)
        self.register_buffer("feature_mean", torch.zeros(width))
        self.register_buffer("feature_std", torch.ones(width))

    def means(self, tiles: Tensor) -> list[Tensor]:
        """Take tiles (N, 3, H, W) in [-1, 1]; give the mean of every stage's channels over the tile."""
        pooled = []
        for stage in self.stages:
            tiles = stage(tiles)
            pooled.append(tiles.mean(dim=(2, 3)))  # (N, C, h, w) -> (N, C)
        return pooled

    def forward(self, tiles: Tensor) -> Tensor:
        """Give logits (N, classes) of tiles (N, 3, H, W) in [-1, 1]."""
        return self.classify(F.dropout(self.means(tiles)[-1], 0.3, self.training))

    def features(self, tiles: Tensor) -> Tensor:
        """Give what KID compares: the means of the later stages, standardised on the training tiles; float (N, d)."""
        pooled = self.means(tiles)
        joined = torch.cat([pooled[k] for k in FEATURE_STAGES], dim=1)
        return (joined - self.feature_mean) / self.feature_std


def to_tensor(tiles: np.ndarray) -> Tensor:
    """Bring uint8 (N, H, W, 3) to float (N, 3, H, W) in [-1, 1]."""
    return (
        torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 127.5 - 1
    )  # (N, H, W, 3) -> (N, 3, H, W), channels last


@torch.no_grad()
def tile_features(model: CellTypes, tiles: np.ndarray, batch: int = 64) -> np.ndarray:
    """Compute the features of tiles uint8 (N, H, W, 3): float32 (N, d)."""
    model.eval()
    return torch.cat(
        [model.features(to_tensor(part)) for part in np.split(tiles, range(batch, len(tiles), batch))]
    ).numpy()


def cut_tile(
    picture: np.ndarray, centre: tuple[float, float], scale: float, side_px: int, turn: float = 0.0
) -> np.ndarray:
    """Cut a turned and scaled square out of a picture, mirrored at its edges.

    Parameters
    ----------
    picture : uint8 (H, W, 3)
    centre : (row, column)
        What comes to lie in the middle of the tile.
    scale : float
        Pixels of the tile per pixel of the picture.
    side_px : int
    turn : float
        In degrees, against the clock.
    """
    matrix = cv2.getRotationMatrix2D((centre[1], centre[0]), turn, scale)
    matrix[:, 2] += (side_px - 1) / 2 - np.array([centre[1], centre[0]])
    return cv2.warpAffine(
        picture, matrix, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )


class Tiles:
    """Draw augmented training tiles: types in equal shares, any angle, magnification of a smear, colours varied.

    Pictures are kept at the largest scale that is drawn, where a red cell is 48 px wide.
    """

    def __init__(self, cells: CellImages) -> None:
        self.largest = 48 / RED_CELL_PX
        self.pictures = [
            cv2.resize(c.image, None, fx=self.largest, fy=self.largest, interpolation=cv2.INTER_AREA) for c in cells
        ]
        self.of_kind = [np.flatnonzero(cells.kinds == kind) for kind in range(len(TYPE_NAMES))]

    def draw(self, rng: np.random.Generator, side_px: int, kind: int) -> np.ndarray:
        """Draw one tile of a class, uint8 (side_px, side_px, 3)."""
        alone = kind == len(TYPE_NAMES)  # a corner, where the named cell does not reach
        picture = self.pictures[rng.choice(self.of_kind[int(rng.integers(len(TYPE_NAMES))) if alone else kind])]
        height, width = picture.shape[:2]
        scale = rng.uniform(30, 48) / 48
        if alone:
            reach = side_px / 2 / scale
            row, column = (rng.choice([reach, side - reach]) for side in (height, width))
            turn = 90.0 * int(rng.integers(4))
        else:
            row, column = (side / 2 + rng.uniform(-12, 12) for side in (height, width))
            turn = rng.uniform(0, 360)
        tile = cut_tile(picture, (row, column), scale, side_px, turn)
        return recolour(tile[:, ::-1] if rng.random() < 0.5 else tile, rng)

    def batches(self, rng: np.random.Generator, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Give batches of (tiles in [-1, 1], classes) for ever; only small tiles show red cells alone."""
        while True:
            for side_px in TILES_PX:
                kinds = rng.integers(len(CLASS_NAMES) if side_px == min(TILES_PX) else len(TYPE_NAMES), size=size)
                tiles = np.stack([self.draw(rng, side_px, int(kind)) for kind in kinds])
                yield to_tensor(tiles), torch.from_numpy(kinds)


def recolour(tile: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vary stain and light: gain and gamma of every channel.

    Sharpness and noise stay, so that features may tell them; colours vary since the stain goes with
    some labels of the set.
    """
    gamma = rng.uniform(0.75, 1.35) * rng.uniform(0.88, 1.14, 3)
    gain = rng.uniform(0.85, 1.1) * rng.uniform(0.92, 1.08, 3)
    levels = np.arange(256)[:, None] / 255
    table = np.clip(levels**gamma * gain * 255, 0, 255).round().astype(np.uint8)  # (256, 3)
    return np.stack([table[tile[..., c], c] for c in range(3)], axis=-1)


def train(cells: CellImages, seed: int = 0, steps: int = 1000, batch: int = 32, progress: bool = False) -> CellTypes:
    """Train on pictures of single cells; torch's global random state is left as it was."""
    from tqdm import trange

    rng = np.random.default_rng([seed, 7])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tiles, model = Tiles(cells), CellTypes().to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
        batches = tiles.batches(rng, batch)
        model.train()
        for _ in trange(steps, disable=not progress, desc="cell types"):
            x, kinds = next(batches)
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast_dtype() is torch.bfloat16):
                logits = model(x.contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(logits.float(), kinds, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        seen = [model.features(next(batches)[0]) for _ in range(16)]
    joined = torch.cat(seen)
    model.feature_mean.copy_(joined.mean(dim=0))
    model.feature_std.copy_(joined.std(dim=0).clamp_min(1e-3))
    return model


@torch.no_grad()
def accuracy(model: CellTypes, cells: CellImages) -> dict[str, Any]:
    """Classify the middle of every picture at a smear's magnification.

    Returns
    -------
    dict
        ``balanced`` (mean over the types there are of the share that is right), ``plain``, ``by_type``, ``pictures``;
        "red cells only" is no right answer for any of them.
    """
    scale = SMEAR_CELL_PX / RED_CELL_PX
    shrunk = [cv2.resize(c.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for c in cells]
    tiles = [cut_tile(p, (p.shape[0] / 2, p.shape[1] / 2), 1.0, LOOKED_AT_PX) for p in shrunk]
    model.eval()
    found = model(to_tensor(np.stack(tiles))).argmax(dim=1).numpy()
    right = found == cells.kinds
    by_type = {TYPE_NAMES[k]: round(float(right[cells.kinds == k].mean()), 3) for k in np.unique(cells.kinds)}
    return {
        "balanced": round(float(np.mean(list(by_type.values()))), 3),
        "plain": round(float(right.mean()), 3),
        "by_type": by_type,
        "pictures": len(cells),
    }


def save(model: CellTypes, folder: Path, card: dict[str, Any]) -> None:
    """Write weights in half precision, and the card with their SHA-256 last."""
    from safetensors.torch import save_file

    state = {k: x.half().contiguous() if x.is_floating_point() else x for k, x in model.state_dict().items()}
    with replacing(folder / WEIGHTS) as beside:
        save_file(state, beside)
    write_json(folder / CARD, {**card, "files": {WEIGHTS: sha256(folder / WEIGHTS)}})


def load(folder: Path | None = None) -> CellTypes:
    """Read the released classifier, or another one, checking its hash.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If the weights are not those of the card.
    """
    from safetensors.torch import load_file

    folder = folder or package_data("models", "cell_types")
    if not (folder / CARD).is_file():
        raise FileNotFoundError(f"{folder / CARD}: is missing; train the classifier again with `{COMMAND}`")
    expected = read_json(folder / CARD)["files"][WEIGHTS]
    found = sha256(folder / WEIGHTS) if (folder / WEIGHTS).is_file() else "no file"
    if found != expected:
        raise ValueError(
            f"{folder / WEIGHTS}: does not match its hash (expected {expected[:12]}…, found {found[:12]}); "
            f"the file is damaged, copy it again or train again with `{COMMAND}`"
        )
    model = CellTypes()
    model.load_state_dict(
        {k: x.float() if x.is_floating_point() else x for k, x in load_file(folder / WEIGHTS).items()}
    )
    return model.to(memory_format=torch.channels_last).eval()


def main(argv: list[str] | None = None) -> int:
    """Train, score on the held-out pictures, and store weights and card."""
    from ..datasets import pbc_subset

    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=package_data("models", "cell_types"))
    given = parser.parse_args(argv)
    begun = time.process_time()
    model = train(pbc_subset.load("fit"), given.seed, given.steps, progress=True)
    seconds = time.process_time() - begun
    held_out = accuracy(model.half().float(), pbc_subset.load("test"))  # as it is stored
    card = {
        "what": "classifier of blood cell types at a smear's magnification; its features serve KID",
        "data": "pbc_subset, part fit: 520 pictures of single cells (40 of each of 13 prefixes)",
        "licence": "BSD-3-Clause (these weights)",
        "data_licence": "believed CC BY 4.0 (Acevedo et al. 2020), unverified",
        "classes": list(CLASS_NAMES),
        "held_out": held_out,
        "held_out_note": "130 other pictures, whose patients are not known: the same patients may be in both parts",
        "intended_use": "features for comparing sets of smear tiles; not for diagnosis",
        "command": f"{COMMAND} --steps {given.steps} --seed {given.seed}",
        "cpu_seconds": round(seconds),
        "precision": f"trained in {str(autocast_dtype()).removeprefix('torch.')}, stored in float16",
        "parameters": sum(p.numel() for p in model.parameters()),
        "versions": versions("torch", "numpy"),
    }
    save(model, given.out, card)
    print(f"held out: balanced accuracy {held_out['balanced']}, plain {held_out['plain']}; {seconds:.0f} CPU-s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
