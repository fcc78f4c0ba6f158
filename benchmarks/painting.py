"""How good a painter is: KID with its floors, colours, nearest training images, and whether its masks are obeyed.

``python -m benchmarks.painting MODEL --data chula_rbc12`` prints the tables and writes
data/results/painter/NAME.json; on one core it takes about five minutes.

``python -m benchmarks.painting --cures`` trains a painter by the published recipe on crops (a quarter of an hour of one
core; it is kept in build/paper-recipe, and goes on where it was stopped), paints the same masks with it and with the
released one, and writes cures.json and part of both paintings of one mask beside it.
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
import torch

from bloodlib._files import package_data, write_json
from bloodlib.datasets import load
from bloodlib.evaluators import cell_types, painting
from bloodlib.evaluators.kid import flat_coloured, kid_with_floors
from bloodlib.evaluators.lenses import PERCENTILES, lens_darkness
from bloodlib.evaluators.roughness import roughness
from bloodlib.gan.config import Stage
from bloodlib.gan.objective import LOSSES
from bloodlib.gan.painting import paint_instances
from bloodlib.io import write_image
from bloodlib.sampler.masks import Mask
from bloodlib.smears import Smear
from bloodlib.synthesis import Synthesizer

COMMAND = "python -m benchmarks.painting"
OURS = package_data("painters", "chula_rbc12-laptop-0")  # of Table 2: told means alone, as the paper's
PERIODS_PX = (2, 4, 8, 16)  # of the grids that doublings can leave
NEAR_PX, WIDE_PX, SHARED_PX = 3, 8.0, 64  # from outlines; sigma that tells grain from shade; rim of a crop left out
MASK_SHAPE, MASKS = (240, 320), 8
KEPT = np.s_[:184, :224]  # of the paintings, all of which are measured: lossless pictures are large
RECIPE = {  # the paper preset, on crops and with the perceptual network that needs no internet
    "stages": (Stage(crop=256, steps=300), Stage(crop=256, steps=100)),
    "perceptual": "squeezenet",
    "style_draw": "independent",
}
SHOWN = np.s_[300:600, 300:1200]  # of a rendered smear at full size and its paintings
DRAWS = 3  # of sampled smears: how much do they differ?
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


def training(synthesizer: Synthesizer) -> list[dict[str, Any]]:
    """Say by stage what a training was shown and how long it took, as its own record has it."""
    history, found = synthesizer.history, []
    for number, stage in enumerate(synthesizer.config.to_dict()["stages"], 1):
        which = [k for k, at in enumerate(history["stage"]) if at == number]
        seconds = [history["seconds"][k] for k in which]
        tail = which[-max(1, len(which) // 10) :]
        losses = {name: round(float(np.mean([history[name][k] for k in tail])), 3) for name in LOSSES}
        every = synthesizer.about.get("released", {}).get(
            "history_every", 1
        )  # a released one keeps every so many steps
        timed = {"seconds": round(every * sum(seconds), 1), "seconds_per_step": round(float(np.median(seconds)), 4)}
        found.append({**stage, "taken": every * len(which), **timed, "losses_at_the_end": losses})
    return found


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
        draws = {f"sampled, draw {k}": np.random.default_rng([seed, 4, k]) for k in range(2, DRAWS + 1)}
        shape = real[0].instances.shape
        more = {name: painting.sample_all(synthesizer, sampled, own_rng, shape) for name, own_rng in draws.items()}
        kid["fit"] = kid_with_floors(classifier, fit, {}, {"sampled": own, **more}, seed=seed)
    segmenter = painting.train_segmenter(fit, seed, **({"steps": steps} if steps else {}))
    judged = {"real": real, "repainted": repainted, "sampled": own, "flat colours": flat}
    judged["repainted, wrong masks"] = painting.wrong_masks(repainted)
    near = {
        kind: painting.memorisation(judged[kind], real, fit, np.random.default_rng([seed, 3]))
        for kind in ("repainted", "sampled")
    }
    coloured = {kind: judged[kind] for kind in ("real", "repainted", "sampled")} | {"real, part fit": fit}
    return {
        "model": {key: synthesizer.about.get(key) for key in ("identity", "profile", "data", "precision", "perceptual")}
        | {"encoder_stage": synthesizer.config.encoder_stage}
        | {"generator_hash": generator_hash(synthesizer)},
        "training": training(synthesizer),
        "data": data,
        "split": split,
        "seed": seed,
        "smears": {"real": len(real), "sampled": len(own), "fit": len(fit)},
        "colours": {kind: painting.colours(smears).to_dict() for kind, smears in coloured.items()},
        "colours_by_group": colours_by_group(real, repainted),
        "kid": kid,
        "nearest_training_image": near,
        "roughness": {kind: roughness(smears) for kind, smears in coloured.items()},
        "lenses": {kind: lens_darkness(smears) for kind, smears in coloured.items()},
        "sizes": {kind: painting.size_spread(smears) for kind, smears in coloured.items()},
        "mask_fidelity": {kind: painting.mask_fidelity(segmenter, smears) for kind, smears in judged.items()},
        "segmenter": segmenter.config.to_dict(),
        "cpu_seconds": round(time.process_time() - began),
        "versions": {name: version(name) for name in ("bloodlib", "torch", "torchmetrics", "opencv-python")},
    }


def picture(model: str, seed: int) -> np.ndarray:
    """Show the same part of a rendered smear, of its mask painted, and of a sampled smear, one below the other."""
    synthesizer = Synthesizer.load(model)
    smear = load("phantom", split="test", shape=synthesizer.layout.config.shape)[0]
    rng = np.random.default_rng(seed)
    images = (smear.image, synthesizer.repaint(smear, rng), synthesizer.sample(rng, smear.instances.shape).image)
    return np.concatenate([image[SHOWN] for image in images])


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
    print("\nroughness of outlines (px, by wavelength)")
    for kind, row in result["roughness"].items():
        waves = ["{:g} to {:g} px".format(*band) for band in row["wavelengths_px"]]
        values = zip(waves, row["picture_px"], row["mask_px"], strict=True)
        print(f"{kind:>24} " + "  ".join(f"{wave}: picture {a:.3f}, mask {b:.3f}" for wave, a, b in values))
    print(f"\nwhere cells overlap, absorbance against a cell's rim ({', '.join(map(str, PERCENTILES))} %)")
    for kind, row in result["lenses"].items():
        print(f"{kind:>24} {row['cells']:4} cells  " + "  ".join(f"{x:.2f}" for x in row["ratio"]))
    print("\nsizes within a smear (standard deviation over mean), and between smears")
    for kind, row in result["sizes"].items():
        print(f"{kind:>24} {row['cells']:4} cells  {row.get('spread', 0):.3f}  {row.get('between', 0):.3f}")
    print("\nmask fidelity: a segmenter trained on real smears")
    for kind, row in result["mask_fidelity"].items():
        names = {"dice": "Dice", "f1_50": "F1@0.5"}
        scores = (f"{name} {row[key]:.3f} ± {row[f'{key}_std']:.3f}" for key, name in names.items())
        print(f"{kind:>24} " + "  ".join(scores))


def grids(plane: np.ndarray, where: np.ndarray) -> dict[str, float]:
    """Measure regular grids in part of a plane.

    Parameters
    ----------
    plane : float (H, W)
    where : bool (H, W)
        The part that counts.

    Returns
    -------
    dict of str to float
        For each of `PERIODS_PX`: standard deviation, in units of the plane, of the mean picture of one period, without
        what the period before explains. A checkerboard of ±a has a at 2 px and 0 elsewhere.
    """
    rows, columns = np.nonzero(where)
    left, found = plane[where].astype(float), {}
    left = left - left.mean()
    for period in PERIODS_PX:
        phase = rows % period * period + columns % period
        size = np.bincount(phase, minlength=period**2)
        mean = np.bincount(phase, left, period**2) / np.maximum(size, 1)
        found[f"{period} px"] = float(np.sqrt(np.average(mean**2, weights=size)))
        left = left - mean[phase]
    return found


def traces(image: np.ndarray, instances: np.ndarray) -> dict[str, float]:
    """Measure what gives a painting away, in grey levels (green, where cells absorb most).

    Returns
    -------
    dict of str to float
        ``grid N px, background`` and ``… cells``: see `grids`, slow changes taken off; ``grain``: standard deviation of
        the background without slow changes; ``shade``: of its slow changes; ``edge``: mean slope across outlines per
        pixel, over the contrast of cells and background. All farther than 3 px from outlines, but the last.
    """
    plane, square = image[..., 1].astype(np.float32), np.ones((2 * NEAR_PX + 1,) * 2, np.uint8)
    inside, outside = (np.uint8(part) for part in (instances > 0, instances == 0))
    parts = {"background": cv2.erode(outside, square) > 0, "cells": cv2.erode(inside, square) > 0}
    found, slow = {}, {}
    for name, where in parts.items():
        weight = where.astype(np.float32)
        slow[name] = _smooth(plane * weight) / np.maximum(_smooth(weight), 1e-6)
        found |= {f"grid {period}, {name}": value for period, value in grids(plane - slow[name], where).items()}
    far = parts["background"]
    found["grain"], found["shade"] = (
        float((plane - slow["background"])[far].std()),
        float(slow["background"][far].std()),
    )
    slope = np.hypot(*(cv2.Sobel(plane, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))))
    rim = cv2.dilate(outside, square[:3, :3]) & cv2.dilate(inside, square[:3, :3]) > 0
    found["edge"] = float(slope[rim].mean() / abs(plane[far].mean() - plane[parts["cells"]].mean()))
    return found


def _smooth(plane: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(plane, (0, 0), WIDE_PX)


def paint_like(
    synthesizer: Synthesizer,
    instances: np.ndarray,
    smear: Smear,
    chosen: np.ndarray,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Paint a drawn mask with the styles that this painter's encoder sees in the chosen cells of a real smear."""
    features = torch.from_numpy(synthesizer.encode(smear)[np.concatenate([[0], chosen])])
    return paint_instances(synthesizer.generator, instances, features, rng=rng)


def paintings(synthesizer: Synthesizer, masks: Sequence[Mask], smears: Sequence[Smear], seed: int) -> dict[str, Any]:
    """Paint every mask like a smear, and measure it: medians over the masks, and the first painting."""
    measured, pictures = [], []
    for k, (mask, smear) in enumerate(zip(masks, smears, strict=True)):
        chosen = np.random.default_rng([seed, k, 1]).integers(1, smear.count + 1, mask.placed)
        painted = paint_like(synthesizer, mask.instances, smear, chosen, np.random.default_rng([seed, k, 2]))
        half = np.s_[:, : MASK_SHAPE[1] // 2]
        whole, part = (paint_like(synthesizer, ids, smear, chosen) for ids in (mask.instances, mask.instances[half]))
        apart = np.abs(whole[half].astype(float) - part)[:, :-SHARED_PX].mean()
        real, ours = painting.colours([smear]), painting.colours([Smear(painted, mask.instances)])
        colour = {
            f"{name} colour off": float(np.abs(np.subtract(getattr(real, name), getattr(ours, name))).mean())
            for name in ("cell", "background")
        }
        measured.append({**traces(painted, mask.instances), "half painted alone": float(apart), **colour})
        pictures.append(painted)
    return {"measured": _medians(measured), "picture": pictures[0]}


def _medians(measured: Sequence[dict[str, float]]) -> dict[str, float]:
    return {key: round(float(np.median([one[key] for one in measured])), 3) for key in measured[0]}


def cures(released: str, folder: Path, seed: int, out: Path) -> dict[str, Any]:
    """Train the published recipe, paint the same drawn masks with it and with the released painter, and store all."""
    fit = load("chula_rbc12", split="fit")
    synthesizers = {
        "published": Synthesizer.fit(fit, "paper", folder, seed, **RECIPE),
        "released": Synthesizer.load(released),
    }
    layout = synthesizers["released"].layout
    masks = [layout.sample(np.random.default_rng([seed, k]), MASK_SHAPE) for k in range(MASKS)]
    smears = [fit[round(k)] for k in np.linspace(0, len(fit) - 1, MASKS)]
    height, width = MASK_SHAPE
    corners = [traces(s.image[:height, :width], s.instances[:height, :width]) for s in fit]
    about = {"profile": "paper", "generator_hash": generator_hash(synthesizers["published"])}
    result = {"command": f"{COMMAND} --cures", "model": about, "seed": seed, "masks": MASKS, "shape": MASK_SHAPE}
    result |= {"smears": [s.name for s in smears], "real": {"measured": _medians(corners), "smears": len(fit)}}
    for name, synthesizer in synthesizers.items():
        made, history = paintings(synthesizer, masks, smears, seed), synthesizer.history
        tail = slice(-max(1, len(history["gan"]) // 10), None)
        stages = synthesizer.config.to_dict()["stages"]
        result[name] = {
            "recipe": f"{synthesizer.about['profile']} preset",
            "crop_px": [stage["crop"] for stage in stages],
            "steps": [stage["steps"] for stage in stages],
            "batch": [stage["batch"] for stage in stages],
            "seconds": synthesizer.about.get("released", {}).get("seconds", round(sum(history["seconds"]))),
            "perceptual": synthesizer.about["perceptual"],
            "precision": synthesizer.about["precision"],
            "discriminator_at_the_end": round(
                float(np.mean(history["d_real"][tail]) + np.mean(history["d_fake"][tail])), 3
            ),
            "measured": made["measured"],
        }
        write_image(out / f"cures-{name}.png", made["picture"][KEPT])
    return result


def show_cures(result: dict[str, Any]) -> None:
    """Print both painters beside real smears."""
    kinds = ("real", "published", "released")
    print(f"\n{'':>24} " + "  ".join(f"{kind:>10}" for kind in kinds))
    for key in result["published"]["measured"]:
        values = (result[kind]["measured"].get(key) for kind in kinds)
        print(f"{key:>24} " + "  ".join(f"{'-' if value is None else format(value, '.3f'):>10}" for value in values))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print and store; without arguments (as from `python -m benchmarks`) only say how to."""
    if not argv:
        print(f"measures a painter: {COMMAND} MODEL --data chula_rbc12, or {COMMAND} --cures")
        return
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="folder of a model, or the name of a released one")
    parser.add_argument("--cures", action="store_true", help="compare with a painter of the published recipe instead")
    parser.add_argument("--data", default="phantom", help="data set name or folder (default: %(default)s)")
    parser.add_argument("--split", default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sampled", type=int, default=34, help="smears sampled whole (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=0, help="of the segmenter (default: 400)")
    parser.add_argument("--images", type=int, default=0, help="real smears used; 0 is all (default)")
    parser.add_argument("--device", help="what it was trained on, in words")
    parser.add_argument("--picture", action="store_true", help="store part of a painting as well (phantom only)")
    parser.add_argument("--name", help="of the result (default: that of the model's folder)")
    parser.add_argument("--out", type=Path, default=package_data("results", "painter"))
    given = parser.parse_args(argv)
    if given.cures:
        result = cures(given.model or OURS, Path("build/paper-recipe"), given.seed, given.out)
        show_cures(result)
        write_json(given.out / "cures.json", result)
        return
    if given.model is None:
        parser.error("name a model, or give --cures")
    if given.picture and given.data != "phantom":
        parser.error("--picture is for the phantom: pictures of real smears are not stored")
    result = measure(given.model, given.data, given.split, given.seed, given.sampled, given.steps, given.images)
    show(result)
    name = given.name or Path(given.model).name
    path = given.out / f"{name}.json"
    options = {"data": given.data, "split": given.split, "seed": given.seed, "sampled": given.sampled}
    options |= {name: value for name, value in (("images", given.images), ("device", given.device)) if value}
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    model = name if Path(given.model).is_absolute() else given.model  # a path of one machine says nothing on another
    words += ["--name", name] if name != Path(model).name else []
    words += ["--picture"] if given.picture else []
    device = {"device": given.device} if given.device else {}
    write_json(path, {"command": shlex.join([*COMMAND.split(), model, *words]), "name": name, **device, **result})
    if given.picture:
        write_image(path.with_suffix(".png"), picture(given.model, given.seed))
    print(f"\n{result['cpu_seconds']} CPU-s; written to {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
