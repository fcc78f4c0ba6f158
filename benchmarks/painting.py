"""How good a painter is: KID with its floors, colours, nearest training images, and whether its masks are obeyed.

``python -m benchmarks.painting MODEL --data chula_rbc12`` prints the tables and writes
data/results/painter/NAME.json; on one core it takes about five minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bloodlib._files import package_data, write_json
from bloodlib.datasets import load
from bloodlib.evaluators import cell_types, painting
from bloodlib.evaluators.kid import flat_coloured, kid_with_floors
from bloodlib.smears import Smear
from bloodlib.synthesis import Synthesizer

COMMAND = "python -m benchmarks.painting"
BLUR_PX, GRID = 1.0, 2.0  # rulers: real smears blurred by this sigma, or with a checkerboard of ± so many grey levels


def blurred(smear: Smear) -> Smear:
    """Soften a real smear: what a soft painter would score."""
    return Smear(cv2.GaussianBlur(smear.image, (0, 0), BLUR_PX), smear.instances, None, smear.name, smear.group)


def gridded(smear: Smear) -> Smear:
    """Lay a checkerboard over a real smear: what a painter with checkerboard would score."""
    board = np.indices(smear.instances.shape).sum(axis=0) % 2 * 2.0 - 1
    image = np.clip(smear.image + GRID * board[..., None], 0, 255).round().astype(np.uint8)
    return Smear(image, smear.instances, None, smear.name, smear.group)


def colours_by_group(real: Sequence[Smear], repainted: Sequence[Smear]) -> dict[str, dict[str, Any]]:
    """Compare each slide's mean cell colour, real and repainted: stains that training did not show stand out."""
    found: dict[str, dict[str, Any]] = {}
    for group in dict.fromkeys(s.group for s in real):
        kinds = {"real": real, "repainted": repainted}
        found[group] = {"smears": sum(s.group == group for s in real)}
        for kind, smears in kinds.items():
            measured = painting.colours([s for s in smears if s.group == group]).to_dict()
            found[group] |= {f"{kind}_cell": measured["cell"], f"{kind}_background": measured["background"]}
    return found


def generator_hash(synthesizer: Synthesizer) -> str:
    """Give twelve hexadecimal digits of the generator's weights."""
    digest = hashlib.sha256()
    for name, values in sorted(synthesizer.generator.state_dict().items()):
        digest.update(name.encode() + values.contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def measure(model: str, data: str, split: str, seed: int, sampled: int, steps: int, images: int) -> dict[str, Any]:
    """Measure one model against the smears of one part of a set."""
    began = time.process_time()
    synthesizer = Synthesizer.load(model)
    options = {"shape": synthesizer.layout.config.shape} if data == "phantom" else {}
    fit, part = load(data, split="fit", **options), load(data, split=split, **options)
    real = list(part[:images] if images else part)
    rng = np.random.default_rng([seed, 0])
    repainted = painting.repaint_all(synthesizer, real, rng)
    own = painting.sample_all(synthesizer, sampled, rng, real[0].instances.shape)
    flat = [flat_coloured(s) for s in real]
    rulers = {f"blur {BLUR_PX:g} px": [blurred(s) for s in real], f"grid ±{GRID:g}": [gridded(s) for s in real]}
    fit, classifier = list(fit), cell_types.load()
    kid = {split: kid_with_floors(classifier, real, {"repainted": repainted, **rulers}, {"sampled": own}, seed=seed)}
    if split != "fit":  # sampled styles and masks are those of the fit part
        kid["fit"] = kid_with_floors(classifier, fit, {}, {"sampled": own}, seed=seed)
    segmenter = painting.train_segmenter(fit, seed, **({"steps": steps} if steps else {}))
    judged = {"real": real, "repainted": repainted, "sampled": own, "flat colours": flat}
    judged["repainted, wrong masks"] = painting.wrong_masks(repainted)
    near = {
        kind: painting.memorisation(judged[kind], real, fit, np.random.default_rng([seed, 3]))
        for kind in ("repainted", "sampled")
    }
    coloured = {kind: judged[kind] for kind in ("real", "repainted", "sampled")} | {"real, part fit": fit}
    return {
        "model": {key: synthesizer.about.get(key) for key in ("identity", "profile", "data", "precision")}
        | {"generator_hash": generator_hash(synthesizer)},
        "data": data,
        "split": split,
        "seed": seed,
        "smears": {"real": len(real), "sampled": len(own), "fit": len(fit)},
        "colours": {kind: painting.colours(smears).to_dict() for kind, smears in coloured.items()},
        "colours_by_group": colours_by_group(real, repainted),
        "kid": kid,
        "nearest_training_image": near,
        "mask_fidelity": {kind: painting.mask_fidelity(segmenter, smears) for kind, smears in judged.items()},
        "segmenter": segmenter.config.to_dict(),
        "cpu_seconds": round(time.process_time() - began),
        "versions": {name: version(name) for name in ("bloodlib", "torch", "torchmetrics", "opencv-python")},
    }


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    for part, kid in result["kid"].items():
        print(f"\nKID against real smears of {part}: {kid['side_px']}-px tiles, {kid['tiles']:.0f} a half")
        for name, row in kid["values"].items():
            print(f"{name:>24} {row['mean']:8.3f} ± {row['std']:.3f}")
    print("(features of the project's own network: not comparable with published KID)")
    print("\ncolours (R G B)")
    for kind, row in result["colours"].items():
        print(f"{kind:>24} " + "  ".join(f"{key} {'/'.join(f'{x:.0f}' for x in row[key])}" for key in row))
    print("\nnearest training image (1 - correlation: 5, 50, 95 %)")
    for kind, row in result["nearest_training_image"].items():
        print(f"{kind:>24} {row['painted']}, held out {row['held_out']}, ratio {row['ratio']}")
        print(
            f"{'':>24} nearest/second {row['nearest_to_second']}, closer than 5 %: {row['closer_than_5_percent']:.3f}"
        )
    print("\nmask fidelity: a segmenter trained on real smears")
    for kind, row in result["mask_fidelity"].items():
        names = {"dice": "Dice", "f1_50": "F1@0.5"}
        scores = (f"{name} {row[key]:.3f} ± {row[f'{key}_std']:.3f}" for key, name in names.items())
        print(f"{kind:>24} " + "  ".join(scores))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and store; without arguments (as from `python -m benchmarks`) only say how to."""
    if not argv:
        print(f"measures a painter: {COMMAND} MODEL --data chula_rbc12")
        return
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder of a model, or the name of a released one")
    parser.add_argument("--data", default="phantom", help="data set name or folder (default: %(default)s)")
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sampled", type=int, default=34, help="smears sampled whole (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=0, help="of the segmenter (default: 400)")
    parser.add_argument("--images", type=int, default=0, help="real smears used; 0 is all (default)")
    parser.add_argument("--name", help="of the result (default: that of the model's folder)")
    parser.add_argument("--out", type=Path, default=package_data("results", "painter"))
    given = parser.parse_args(argv)
    result = measure(given.model, given.data, given.split, given.seed, given.sampled, given.steps, given.images)
    show(result)
    name = given.name or Path(given.model).name
    path = given.out / f"{name}.json"
    options = {"data": given.data, "split": given.split, "seed": given.seed, "sampled": given.sampled}
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    write_json(path, {"command": shlex.join([*COMMAND.split(), name, *words]), "name": name, **result})
    print(f"\n{result['cpu_seconds']} CPU-s; written to {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
