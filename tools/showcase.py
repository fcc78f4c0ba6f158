"""The pictures that readers play with, painted when the book is built and never kept in git."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from bloodlib._files import read_json, sha256, write_json

from . import made as notes
from .card import MODEL
from .layout import ROOT, Build

FOLDER = "made"  # under the book's _static
TILES = 20
TILE_PX = 160  # as in the blind test
STYLE_SHAPE = (320, 480)
QUALITY = 88  # of WebP
NOT_MADE = "*Nothing is shown here: {why}.*"


def pictures(build: Build) -> dict[str, Any]:
    """Paint what the pages show, or find it painted already.

    Returns
    -------
    dict
        ``folder`` with WebP files; ``command`` that paints them; ``original``: what is not painted is called;
        ``styles``; ``tiles``: kind of each. Only ``why`` where nothing can be painted: a chapter alone is built, or no
        model is released.
    """
    if build.only:
        return {"why": "this build holds one chapter only"}
    model = build.root / "data" / "models" / MODEL
    if not (model / "config.json").is_file():
        return {"why": "this checkout holds no released painter"}
    own = build.root / build.data
    shown = _fingerprint(own) if own.is_dir() else ""  # files may be corrected
    by = build.data + shown + sha256(model / "config.json") + sha256(Path(__file__))
    key = hashlib.sha256(by.encode()).hexdigest()
    folder = build.folder / "artifacts" / f"showcase-{key[:12]}"
    if not (folder / "made.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_json(folder / "made.json", _paint(model, build, folder))
    command = f"make book PROFILE={build.profile} DATA={build.data}"
    return read_json(folder / "made.json") | {"folder": folder, "command": command}


def _fingerprint(folder: Path) -> str:
    from bloodlib import load
    from bloodlib.gan.data import fingerprint

    return fingerprint(load(folder))


def _paint(model: Path, build: Build, folder: Path) -> dict[str, Any]:
    import bloodlib
    from bloodlib.evaluators.painting import repaint_all
    from bloodlib.evaluators.tiles import cut_tiles

    painter = bloodlib.Synthesizer.load(model)
    rng = np.random.default_rng(0)
    smears = list(_originals(build, painter.layout.config.placement.cell_size_px))
    first = smears[0]
    high = first.image.shape[1] * 9 // 16  # the landing page has to fit a screen
    _write(folder / "original.webp", first.image[:high])
    _write(folder / "painted.webp", painter.repaint(first, rng)[:high])
    mask = painter.layout.sample(rng, STYLE_SHAPE).instances
    strewn = painter.objects.sample(rng, mask) if painter.objects else None
    for style in range(len(painter.styles)):
        _write(folder / f"style_{style}.webp", painter.paint(mask, np.random.default_rng(style), style, objects=strewn))
    # No smear is shown both ways, so that a tile says nothing about another.
    kinds = ["painted" if heads else "original" for heads in rng.integers(2, size=TILES)]
    others = smears[1::2] or smears
    side = min(TILE_PX, *first.instances.shape)
    tiles = {
        "original": cut_tiles(smears[::2], rng, TILES, side),
        "painted": cut_tiles(repaint_all(painter, others, rng), rng, TILES, side, like=others),
    }
    spread = {kind: _spread(cut, kinds.count(kind)) for kind, cut in tiles.items()}
    for k, kind in enumerate(kinds):
        _write(folder / f"tile_{k:02d}.webp", next(spread[kind]).image)
    original = "rendered" if build.data == "phantom" else "real"
    return {
        "original": original,
        "styles": len(painter.styles),
        "tiles": kinds,
        "smears": painter.about["data"]["smears"],
    }


def _spread(tiles: Sequence[Any], count: int) -> Iterator[Any]:
    """Take as many tiles as are needed, evenly over the smears that they come from."""
    return iter([tiles[k] for k in np.linspace(0, len(tiles) - 1, count).round().astype(int)])


def _originals(build: Build, cell_size_px: float, most: int = 8) -> Iterator[Any]:
    """Give smears that the painter was not trained on, the phantom's brought to the painter's cell size."""
    import bloodlib
    from bloodlib.datasets import phantom
    from bloodlib.quoted import quoted
    from bloodlib.smears import relabel

    if build.data != "phantom":
        own = build.root / build.data
        smears = bloodlib.load(own, split="all") if own.is_dir() else bloodlib.load(build.data, split="test")
        yield from (smears[k] for k in np.unique(np.linspace(0, len(smears) - 1, most).astype(int)))
        return
    scale = cell_size_px / quoted("bailo2019.sampler.cell_size_px")
    smears = bloodlib.load("phantom", split="test", shape=(round(480 / scale), round(640 / scale)))
    rose = [k for k, group in enumerate(smears.groups) if int(group.split("_")[1]) % len(phantom.FAMILIES) == 0]
    for k in rose[:most]:
        smear = smears[k]
        image = cv2.resize(smear.image, (640, 480), interpolation=cv2.INTER_AREA)
        ids = cv2.resize(smear.instances.astype(np.float32), (640, 480), interpolation=cv2.INTER_NEAREST)
        yield replace(smear, image=image, instances=relabel(ids.astype(np.int32))[0], classes=None, points=None)


def _write(path: Path, image: np.ndarray) -> None:
    Image.fromarray(image).save(path, "WEBP", quality=QUALITY, method=6)


def substitutions(made: dict[str, Any]) -> dict[str, str]:
    """Write what pages under book/ may use: ``slider``, ``style_explorer``, ``game``, ``game_about``, ``sampler_made``.

    Each of the first three is a figure with number, caption and a note on how it was made.
    """
    sampler = {"sampler_made": notes.folded(f"{_SAMPLER} {_sources(_COMPARED)}.", _COMPARE)}
    if "why" in made:
        return dict.fromkeys(_WIDGETS, NOT_MADE.format(why=made["why"])) | {"game_about": ""} | sampler
    shown = {name: _figure(name, write(made), made) for name, write in _WIDGETS.items()}
    return shown | {"game_about": _COIN + _ABOUT[made["original"]]} | sampler


def _figure(name: str, html: str, made: dict[str, Any]) -> str:
    caption = _CAPTIONS[name].get(made["original"], "").format(**made) or _CAPTIONS[name]["both"]
    body = [
        "::::{live-figure}",
        f":name: fig-{name.replace('_', '-')}",
        "",
        "```{raw} html",
        html,
        "```",
        "",
        caption,
        "::::",
    ]
    said = f"Painted when this book is built, by `tools/showcase.py`, with {_sources(_MADE_WITH[name])}."
    return "\n".join([*body, "", notes.folded(said, made["command"])])


def _sources(names: Sequence[str]) -> str:
    return ", ".join(notes.source_of(name, ROOT) for name in names)


def _image(file: str, alt: str, **data: str) -> str:
    about = "".join(f' data-{key}="{escape(value)}"' for key, value in data.items())
    return f'<img src="../_static/{FOLDER}/{file}.webp" alt="{escape(alt)}"{about}>'


def _script(*names: str) -> str:
    return "".join(f'<script defer src="../_static/{name}.js"></script>' for name in names)


def _slider(made: dict[str, Any]) -> str:
    word = made["original"]
    left = _image("original", f"Smear of red blood cells, {word}", name=word)
    right = _image("painted", "The same cells, painted by the released model", name="painted")
    return f'<div class="bl-stage" data-play="compare">{left}{right}</div>{_script("compare")}'


def _styles(made: dict[str, Any]) -> str:
    images = [_image(f"style_{k}", f"One painted mask in the looks of cluster {k}") for k in range(made["styles"])]
    grid = f'<div class="bl-grid">{"".join(images)}</div>'
    return f'<div class="bl-play bl-styles" data-play="styles">{grid}</div>{_script("styles")}'


def _game(made: dict[str, Any]) -> str:
    images = [
        _image(f"tile_{k:02d}", f"Tile {k + 1}: a square piece of a smear", kind=kind)
        for k, kind in enumerate(made["tiles"])
    ]
    tiles = [f"<figure>{image}<figcaption></figcaption></figure>" for image in images]
    grid = f'<div class="bl-grid">{"".join(tiles)}</div>'
    head = f'<div class="bl-play bl-game" data-play="game" data-original="{made["original"]}">'
    return f"{head}{grid}</div>{_script('game')}"


_COIN = "Twenty tiles. A coin decided for each which of two kinds it is, so guessing gives half. "
_ABOUT = {
    "rendered": "**In this build none of them is real.** The *rendered* ones are pieces of a phantom. The *painted* "
    "ones are masks of other phantom smears, in the looks nearest to theirs that the released model knows. It learnt "
    "from other stains, so colour alone gives it away: here you see how the game goes, not how good the painter is. "
    "Build the book with `DATA=chula_rbc12` to play it with real smears.",
    "real": "The *real* ones are pieces of smears that the painter was not trained on. The *painted* ones are the "
    "masks of other such smears, each in its own smear's looks.",
}
_WIDGETS = {"slider": _slider, "style_explorer": _styles, "game": _game}
_CAPTIONS = {
    "slider": {
        "rendered": "Move the divide. Left, a smear rendered by physics (a phantom, not blood). Right, its mask "
        "painted by the released model, which learnt from {smears} real smears of other stains.",
        "real": "Move the divide. Left, a real smear that the painter never saw. Right, its mask painted by the "
        "released model in the smear's own looks.",
    },
    "style_explorer": {"both": "One mask in the looks of every style cluster: move the slider and look at what stays."},
    "game": {
        "rendered": "Rendered or painted? One tile at a time, the answers at the end.",
        "real": "Real or painted? One tile at a time, the answers at the end.",
    },
}
_MADE_WITH = {
    "slider": ("bloodlib.load", "bloodlib.Synthesizer.load", "bloodlib.Synthesizer.repaint"),
    "style_explorer": ("bloodlib.Synthesizer.load", "bloodlib.MaskGenerator.sample", "bloodlib.Synthesizer.paint"),
    "game": ("bloodlib.load", "bloodlib.evaluators.painting.repaint_all", "bloodlib.evaluators.tiles.cut_tiles"),
}
_SAMPLER = (
    "Drawn in your browser by `book/_static/adhesion.js`, which computes, and `book/_static/adhesion_view.js`, which "
    "shows. The command below gives the same random numbers to it and to what it was written after, and compares:"
)
_COMPARED = (
    "bloodlib.sampler.placement.draw_locations",
    "bloodlib.sampler.placement.probability_map",
    "bloodlib.statistics.pair_correlation",
)
_COMPARE = "python -m pytest tests/tools/test_adhesion_js.py"
