"""The released model's card: numbers for book/model_card.md, and the same page as its README.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from bloodlib._files import read_json, replacing, sha256
from bloodlib.release import CONFIG, is_about, size_bytes

MODEL = "chula_rbc12-laptop"
PAGE = Path("book") / "model_card.md"
RESULTS = Path("data") / "results" / "painter"
TITLES = {  # of what `benchmarks.painting` compares
    "within groups": "real, the same slides",
    "between groups": "real, other slides",
    "repainted": "real masks, painted in their own smear's looks",
    "repainted, wrong masks": "painted so, scored against the next smear's mask",
    "real, part fit": "real, of the slides that it was fitted on",
    "sampled": "sampled whole: masks and looks drawn",
    "flat colours": "real masks, filled with mean colours",
    "blur 1 px": "real, blurred by 1 px",
    "grid ±2": "real, with a grid of ±2 grey levels",
}
NO_MODEL, NO_RESULT = "not in this checkout", "not measured yet"
FACTS = ("name", "data", "licence", "training", "network", "size", "hash", "files", "checked")
HOLDS = {
    "generator.safetensors": "paints: label planes and style features to an image; float16",
    "encoder.safetensors": "style features of a real image; float16",
    "styles.safetensors": "style features of all cells, backgrounds and objects seen, and their clusters; float16",
    "layout.safetensors": "outlines of cells, one bit per pixel, and their slides",
    "objects.safetensors": "outlines of incidental objects, one bit per pixel, and how many a smear has",
    "camera.safetensors": "per smear: its light, offsets of its colours, spectrum of its grain, quality as JPEG",
    "history.json": "losses of the training, averaged",
    "previews": "painted during the training; no real picture",
    CONFIG: "settings, layout statistics, and the hash of every other file",
}


def values(root: Path, model: str = MODEL) -> dict[str, str]:
    """Write everything that the card substitutes, as Markdown.

    Notes
    -----
    What was measured lies in ``data/results/painter``: what ``python -m benchmarks.painting`` writes, and for the
    blind test what `bloodlib.evaluators.blind.score` gives. Every file names under ``model`` the painter
    that it is about; what is about another is left out.
    """
    folder = root / "data" / "models" / model
    if not (folder / CONFIG).is_file():
        return dict.fromkeys(FACTS, NO_MODEL) | dict.fromkeys(MEASURED, f"*{NO_RESULT}*")
    content = read_json(folder / CONFIG)
    mine: dict[str, Any] = {}
    for path in sorted((root / RESULTS).glob("*.json")):
        result = read_json(path)
        if is_about(result["model"], content):
            mine |= {"blind": [*mine.get("blind", []), result]} if "painted" in result else result
    said = {name: write(mine[name]) if name in mine else f"*{NO_RESULT}*" for name, write in MEASURED.items()}
    return _about(folder) | said


def _about(folder: Path) -> dict[str, str]:
    content = read_json(folder / CONFIG)
    data, made, config = content["data"], content["released"], content["config"]
    steps = " + ".join(f"{n:,}" for n in made["steps"])
    weights = {part: f"{n / 1e6:.2f} million" for part, n in made["weights"].items()}
    sizes = {name: size_bytes(folder / name) for name in HOLDS if (folder / name).exists()}
    size = sum(sizes.values())
    start = f", on from the networks of painter {content['start']}" if "start" in content else ""
    rows = ["| file | holds | kB |", "|---|---|---:|"]
    rows += [f"| `{name}` | {HOLDS[name]} | {n / 1000:,.0f} |" for name, n in sizes.items()]
    return {
        "name": f"`{made['name']}`",
        "data": f"{data['title']}, {data['smears']} smears with {data['cells']:,} cells",
        "licence": f"weights {made['licence']}, like the code; the smears they were fitted on {made['data_licence']}",
        "training": f"{content['profile']} profile, {steps} steps in {made['seconds'] / 60:.0f} minutes on "
        f"{made['device']}{start}, {content['precision']}; perceptual network: {content['perceptual']}; "
        f"seed {content['seed']}; written with torch {content['versions']['torch']}",
        "network": f"{config['filters']} filters; weights: generator {weights['generator']}, "
        f"encoder {weights['encoder']}",
        "size": f"{size / 2**20:.1f} MiB, {made['precision']}",
        "hash": f"`{sha256(folder / CONFIG)}` (SHA-256 of `{CONFIG}`, which holds those of all other files)",
        "files": "\n".join(rows),
        "checked": f"Half precision changes a painting by {made['grey_levels']:.2g} of 255 grey levels on average, "
        f"ONNX by at most {made['onnx']:.1g} of the range from -1 to 1.",
    }


def _blind(results: list[dict[str, Any]]) -> str:
    rows = ["| paintings | painted beside real: told apart | two of one kind, which is guessing |", "|---|---|---|"]
    results = sorted(results, key=lambda result: result.get("key", {}).get("alone", False))
    for result in results:
        told = []
        for one in (result.get("painted"), result.get("floor")):
            low, high = (100 * x for x in one["interval"]) if one else (0, 0)
            told.append(f"{one['told_apart']} of {one['n']} ({low:.0f} to {high:.0f} %)" if one else "–")
        rows.append(f"| {result['paintings']} | {' | '.join(told)} |")
    observers = dict.fromkeys(result["observer"] for result in results)
    return "\n".join(
        [
            *rows,
            "",
            "In brackets: 95 % intervals, which take answers for independent; those of an observer of many pairs, who "
            f"can sort tiles into two looks, hang together. Who looked: {'; '.join(observers)}.",
        ]
    )


def _kid(result: dict[str, Any]) -> str:
    rows = ["| tiles compared with real ones | KID | ± over halvings |", "|---|---:|---:|"]
    for part, kid in result.items():
        for name, one in kid["values"].items():
            rows.append(f"| {part} part: {TITLES.get(name, name)} | {one['mean']:.3f} | {one['std']:.3f} |")
    return "\n".join(rows)


def _fidelity(result: dict[str, Any]) -> str:
    rows = ["| smears | Dice | F1 (IoU 0.5) |", "|---|---:|---:|"]
    for name, one in result.items():
        scores = (f"{one[key]:.3f} ± {one[f'{key}_std']:.3f}" for key in ("dice", "f1_50"))
        rows.append(f"| {TITLES.get(name, name)} | {' | '.join(scores)} |")
    return "\n".join(rows)


def _memory(result: dict[str, Any]) -> str:
    rows = [
        "| tiles | distance to the nearest training image / to the second nearest |",
        "|---|---:|",
    ]
    for kind, one in result.items():
        rows.append(f"| {TITLES.get(kind, kind)} | {one['nearest_to_second']['painted']:.3f} |")
    held_out = {one["nearest_to_second"]["held_out"] for one in result.values()}
    return "\n".join([*rows, *(f"| real, of other slides | {share:.3f} |" for share in sorted(held_out))])


def _roughness(result: dict[str, Any]) -> str:
    low, high = next(iter(result.values()))["wavelengths_px"][-1]
    rows = [f"| smears | outlines displaced by details of {low:g} to {high:g} px | their masks |", "|---|---:|---:|"]
    for kind, one in ((kind, one) for kind, one in result.items() if one["cells"]):
        rows.append(f"| {TITLES.get(kind, kind)} | {one['picture_px'][-1]:.3f} px | {one['mask_px'][-1]:.3f} px |")
    return "\n".join(rows)


MEASURED = {
    "blind": _blind,
    "kid": _kid,
    "mask_fidelity": _fidelity,
    "roughness": _roughness,
    "nearest_training_image": _memory,
}


def readme(root: Path, model: str = MODEL) -> str:
    """Write the card's page as plain Markdown: numbers put in, definition lists as bullets, no directives."""
    page = (root / PAGE).read_text()
    text = Environment(undefined=StrictUndefined).from_string(page).render(painter=values(root, model))
    text = re.sub(r"\{cite:([tp])\}`([a-z]+)(\d+)`", _cited, text)
    text = re.sub(r"\{term\}`([^`<]*?)(?:\s*<[^`>]*>)?`", r"\1", text)
    text = re.sub(r"^```\{warning\}\n(.*?)\n```", r"**Warning.** \1", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^(\S.*)\n: (.+)\n\n?", r"- **\1**: \2\n", text, flags=re.MULTILINE)
    text = re.sub(r"^:{3,}.*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def _cited(found: re.Match[str]) -> str:
    how, author, year = found.groups()
    return f"{author.title()} et al. ({year})" if how == "t" else f"({author.title()} et al. {year})"


def write(root: Path, model: str = MODEL) -> Path:
    """Write README.md into the model's folder."""
    path = root / "data" / "models" / model / "README.md"
    with replacing(path) as beside:
        beside.write_text(readme(root, model))
    return path
