"""Release the painter: python -m tools.release build/painter --device "one NVIDIA …" [--replace]; or --card.

Finishes the training in the folder if need be (a finished model is loaded at once, and must be of the named data and
profile), writes it in half precision to data/models, compares its paintings with the full model's and its ONNX file
with torch, and writes its card. ``--card`` alone writes the card again, after other results have been stored.
Table 2's painters, which take turns by seed and have no camera (``--plain``), go to data/painters: a checkout has them,
the wheel not. That of the phantom goes on from Chula's of seed 0 for 1,000 steps.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

import bloodlib
from bloodlib._files import read_json, write_json
from bloodlib.datasets import registry
from bloodlib.evaluators.synthetic import PLAIN_LAYOUT, PLAIN_PAINTER
from bloodlib.gan.config import Stage
from bloodlib.gan.export import export_generator, largest_difference
from bloodlib.release import CONFIG, release, size_bytes

from . import card
from .layout import ROOT

PAINTED = 4
LONG = {  # how the released painter was trained: twice the profile's steps, which a GPU makes in minutes
    ("chula_rbc12", "laptop"): {
        "stages": (Stage(crop=256, batch=6, steps=2400, constant=1.0), Stage(crop=256, batch=6, steps=3600)),
    },
}
SHORT = {  # Table 2's painter of rendered smears: the machinery is tried, so it learns them on top of what it knows
    ("phantom", "laptop"): {
        "start_from": ROOT / "data" / "painters" / "chula_rbc12-laptop-0",
        "stages": (
            Stage(crop=256, batch=3, steps=400, constant=1.0),
            Stage(crop=256, batch=3, steps=600, constant=0.5),
        ),
    },
}


def grey_levels(full: bloodlib.Synthesizer, half: bloodlib.Synthesizer, count: int = PAINTED) -> float:
    """Sample the same smears from both; give the mean absolute difference in grey levels.

    Raises
    ------
    ValueError
        If the masks differ.
    """
    found = []
    for seed in range(count):
        a, b = (synth.sample(np.random.default_rng(seed)) for synth in (full, half))
        if not np.array_equal(a.instances, b.instances):
            raise ValueError(f"the released model draws another mask than the full one from seed {seed}")
        found.append(np.abs(a.image.astype(float) - b.image).mean())
    return float(np.mean(found))


def publish(full: bloodlib.Synthesizer, folder: Path, name: str, root: Path, where: str = "models", **options) -> Path:
    """Release a finished model under `root`, measure what half precision and ONNX change, write both down."""
    target = release(folder, name, root / "data" / where, **options)
    half = bloodlib.Synthesizer.load(target)
    with tempfile.TemporaryDirectory() as beside:
        path = export_generator(half.generator, Path(beside) / "painter.onnx")
        onnx = largest_difference(half.generator, path, (480, 640))
    content = read_json(target / CONFIG)
    content["released"] |= {"grey_levels": round(grey_levels(full, half), 4), "onnx": float(f"{onnx:.2g}")}
    write_json(target / CONFIG, content)
    if where == "models":
        card.write(root, name)
    return target


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="of the painter, finished or not")
    parser.add_argument("--device", help="what it was trained on, in words")
    parser.add_argument("--data", default="chula_rbc12")
    parser.add_argument("--profile", default="laptop")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="one of Table 2's painters, of any seed")
    parser.add_argument("--replace", action="store_true", help="take the released model of this name away first")
    parser.add_argument("--card", action="store_true", help="only write README.md again")
    given = parser.parse_args(arguments)
    name = f"{given.data}-{given.profile}"
    if given.card:
        print(card.write(ROOT, name).relative_to(ROOT))
        return 0
    if not (given.folder and given.device):
        parser.error("give FOLDER and --device, or --card")
    if given.seed and not given.plain:
        parser.error("the released painter has seed 0; those of other seeds are Table 2's, --plain")
    try:
        smears = bloodlib.load(given.data, split="fit")
        plain = {**PLAIN_PAINTER, "layout": PLAIN_LAYOUT, **SHORT.get((given.data, given.profile), {})}
        settings = plain if given.plain else LONG.get((given.data, given.profile), {})
        full = bloodlib.Synthesizer.fit(smears, given.profile, given.folder, given.seed, **settings)
        licence = registry.SETS[given.data].licence
        name, where = (f"{name}-{given.seed}", "painters") if given.plain else (name, "models")
        options = {"device": given.device, "data_licence": licence, "replace": given.replace}
        target = publish(full, given.folder, name, ROOT, where, **options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{target.relative_to(ROOT)}: {size_bytes(target) / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
