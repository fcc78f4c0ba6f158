"""The synthetic part of an arm: painted smears and, as controls, their variants and copy-paste."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from .._files import in_turn, package_data, read_json
from ..smears import Smear, SmearFolder, relabel
from .arms import SOURCES

if TYPE_CHECKING:
    from ..synthesis import Synthesizer

SEED = 0  # the synthetic set of a painter is the same for all tasks, arms and seeds
PLAIN_PAINTER = {"camera": False, "style_terms": 1, "softness_px": 0.0}  # of Table 2: the paper's have no more
PLAIN_LAYOUT = {  # of Table 2, whatever a profile's is
    "smooth": False,
    "scale": (0.9, 1.1),
    "by_slide": False,
    "layout": "given",
    "overlap": 0.0,
    "overlap_share": 1.0,
}
LAYOUTS = {"uniform": {"placement": "uniform"}, "plain": {"augment": False}, "overlap": {"overlap": 0.1}}  # of sources
PAINTERS = 3  # ours: painters of different seeds, given to the paired seeds in rotation


def painter_seed(seed: int) -> int:
    """Say which painter a run's seed gets: three take turns, so that runs tell their spread."""
    return seed % PAINTERS


def fingerprint(folder: str | Path) -> str:
    """Give twelve hexadecimal digits of a painter's weights."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def painter(fit: Sequence[Smear], profile: str, artifacts: str | Path, seed: int, progress: bool = False) -> Path:
    """Find or train the painter of a seed.

    Parameters
    ----------
    fit : sequence of Smear
        It is fitted on these alone.
    profile : str
    artifacts : path
        A finished one in ``painter/`` or ``painter-SEED/`` is taken, an interrupted one goes on, and what another
        process is training is waited for.
    seed : int
    progress : bool

    Returns
    -------
    Path
        Its folder; that of a released model where one is of the same smears, settings and seed, or of the one stored
        painter that serves every seed of these smears (the phantom's, in the laptop profile).

    Notes
    -----
    It has neither a camera (`bloodlib.camera`) nor more than one style term (`bloodlib.gan.pooling`), and draws and
    sees the steps of pixels, as the paper's does; what a camera changes is a control.
    """
    from ..gan.config import preset
    from ..gan.data import fingerprint as identify
    from ..release import CONFIG, continued_for, released_as
    from ..synthesis import Synthesizer

    data = identify(fit)
    stored = continued_for(data, profile)
    if stored is not None:
        return stored
    folder = Path(artifacts) / "painter"  # the chapters' own, of their seed
    ready = (folder / CONFIG).is_file()
    own = read_json(folder / CONFIG) if ready else {"seed": 0, "config": preset(profile).to_dict()}
    if seed != own["seed"] or any(own["config"].get(name, kept) != kept for name, kept in PLAIN_PAINTER.items()):
        folder = folder.with_name(f"painter-{seed}")
        ready = (folder / CONFIG).is_file()
    if not ready:
        found = released_as(preset(profile, **PLAIN_PAINTER).digest(seed=seed, data=data))
        if found is not None:
            return found
    plain = {**PLAIN_PAINTER, "layout": PLAIN_LAYOUT}
    in_turn(lambda: Synthesizer.fit(fit, profile=profile, folder=folder, seed=seed, progress=progress, **plain))
    return folder


def released_painter(fit: Sequence[Smear]) -> Path:
    """Find the released painter that was fitted on some smears.

    Raises
    ------
    ValueError
        If there is none.
    """
    from ..gan.data import fingerprint as identify
    from ..release import released, released_of

    found = released_of(identify(fit))
    if found is None:
        raise ValueError(f"none of the released painters ({', '.join(released())}) was fitted on these smears")
    return found


def named_painter(name: str, fit: Sequence[Smear]) -> Path:
    """Find a finished painter of some smears by its name in ``data/painters``, or by its folder.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is none, or it was fitted on other smears.
    """
    from ..gan.data import fingerprint as identify
    from ..release import CONFIG

    stored = package_data("painters", name)
    folder = stored if (stored / CONFIG).is_file() else Path(name)
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(f"painter {name!r}: neither in {stored.parent.name}/ nor a folder with a {CONFIG}")
    if read_json(folder / CONFIG)["data"]["fingerprint"] != identify(fit):
        raise ValueError(f"painter {name!r}: was fitted on other smears than the fit part of this set")
    return folder


def painter_for(
    source: str, fit: Sequence[Smear], profile: str, artifacts: str | Path, seed: int, progress: bool = False
) -> Path:
    """Find or train who paints a source: the released painter, whatever the seed, or as `painter` says."""
    return released_painter(fit) if source == "released" else painter(fit, profile, artifacts, seed, progress)


def synthetic_smears(
    fit: Sequence[Smear],
    count: int,
    painted_by: str | Path | None,
    artifacts: str | Path,
    source: str = "painted",
    progress: bool = False,
) -> Sequence[Smear]:
    """Make (or find) the first smears of a synthetic set.

    Parameters
    ----------
    fit : sequence of Smear
        What layouts and shapes are fitted on, and cells are copied from.
    count : int
        More are added to the folder when a later call asks for more.
    painted_by : path or None
        Folder of the painter; not needed for copy-paste.
    artifacts : path
        ``synthetic-FINGERPRINT…/`` lies in it; while another process writes there, this one waits.
    source : str
        One of `bloodlib.evaluators.arms.SOURCES`.
    progress : bool

    Raises
    ------
    ValueError
        If there is no such source.
    """
    if source not in SOURCES:
        raise ValueError(f"source is {source!r}, allowed are {', '.join(SOURCES)}")
    if count == 0:
        return ()
    if source == "copy-paste":
        return copy_paste(fit, count, SEED)
    from ..datasets import load
    from ..sampler.masks import CrowdedWarning, MaskGenerator
    from ..synthesis import Synthesizer

    made = Synthesizer.load(painted_by)
    if source == "repainted":
        return repainted(fit, made)[:count]
    folder = Path(artifacts) / folder_name(fingerprint(painted_by), source)
    if source == "camera":
        made = made.with_camera(fit, compression=False)
    if source in LAYOUTS:
        layout = MaskGenerator.fit(fit, **LAYOUTS[source])
        made = replace(made, layout=layout, about={**made.about, "identity": f"{made.about['identity']}-{source}"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CrowdedWarning)  # manifest.json says which smears are full
        in_turn(lambda: made.write(folder, count=count, seed=SEED, progress=progress))
    smears = load(folder)[:count]
    return shuffled(smears) if source == "shuffled" else smears


def folder_name(painter: str, source: str) -> str:
    """Name the folder of a painted set by its painter's fingerprint, and by its source where it is no usual set."""
    return f"synthetic-{painter}" + (f"-{source}" if source in (*LAYOUTS, "camera") else "")


def shuffled(smears: SmearFolder) -> SmearFolder:
    """Give every image the mask of the next one; the last gets that of the first."""
    names = list(smears.names)
    places = {name: k for k, name in enumerate(names)}

    def read(name: str) -> Smear:
        here, beside = smears[places[name]], smears[(places[name] + 1) % len(names)]
        return Smear(here.image, beside.instances, beside.classes, name=name, group=here.group)

    return SmearFolder(names, read, groups=smears.groups, title=f"{smears.title}, masks shuffled")


def repainted(fit: Sequence[Smear], made: Synthesizer) -> SmearFolder:
    """Give real smears' own masks, painted in their own looks, when they are read.

    Parameters
    ----------
    fit : sequence of Smear
        Of which `made` has seen all.
    made : Synthesizer

    Notes
    -----
    Between these and the real smears nothing differs but the paint; between these and sampled ones nothing but where
    cells lie, what shapes they have, and looks drawn for them.
    """

    def read(name: str) -> Smear:
        k = int(name.rsplit("-", 1)[1])
        smear = fit[k]
        image = made.repaint(smear, np.random.default_rng([SEED, k]))
        return Smear(image, smear.instances, smear.classes, name=name, group=smear.group)

    names = [f"repainted-{k:05d}" for k in range(len(fit))]
    return SmearFolder(names, read, title="real masks, painted")


def copy_paste(fit: Sequence[Smear], count: int, seed: int) -> SmearFolder:
    """Paste cells of one real smear into another, again and again.

    Parameters
    ----------
    fit : sequence of Smear
    count : int
    seed : int
        Smear k depends on (seed, k) alone.

    Returns
    -------
    SmearFolder
        Made when read.

    Notes
    -----
    Ghiasi et al. 2021, "Simple copy-paste is a strong data augmentation method for instance segmentation"
    (doi:10.1109/CVPR46437.2021.00294): host and donor are drawn at random, both are mirrored at random, each
    cell of the donor is pasted with probability ½. Ours: paste edges are blended over about a pixel, and a
    cell that would cover more than 0.3 of another is left out, so that no slivers are left to be learnt as
    cells. Book: chapter 11.
    """
    kept: dict[int, Smear] = {}

    def smear(position: int) -> Smear:
        if position not in kept:
            kept[position] = fit[position]
        return kept[position]

    def read(name: str) -> Smear:
        rng = np.random.default_rng([seed, int(name.rsplit("-", 1)[1])])
        host, donor = (smear(int(k)) for k in rng.choice(len(fit), size=2, replace=len(fit) < 2))
        return paste(host, donor, rng, name=name)

    return SmearFolder([f"pasted-{k:05d}" for k in range(count)], read, title="copy-paste of real cells")


def paste(host: Smear, donor: Smear, rng: np.random.Generator, share: float = 0.5, name: str = "pasted") -> Smear:
    """Paste a random share of a donor's cells into a host of at least its size; see `copy_paste`."""
    image, instances = _flipped(host, rng)
    other, cells = _flipped(donor, rng)
    height, width = (min(a, b) for a, b in zip(instances.shape, cells.shape, strict=True))
    image, instances = image.copy(), instances.copy()
    window = np.s_[:height, :width]
    areas = np.bincount(instances.ravel(), minlength=host.count + 1)
    top, added = instances[window], np.zeros((height, width), np.int32)
    for cell in np.flatnonzero(rng.random(donor.count) < share) + 1:
        here = cells[window] == cell
        covered = np.bincount(top[here], minlength=len(areas))[1:] if here.any() else areas[1:]
        if not here.any() or (covered > 0.3 * areas[1:]).any():
            continue
        added[here] = cell + host.count
        areas[1:] -= covered
        top[here] = 0
    alpha = cv2.GaussianBlur((added > 0).astype(np.float32), (5, 5), 1.0)[..., None]
    image[window] = np.rint(alpha * other[window] + (1 - alpha) * image[window]).astype(np.uint8)
    instances[window] = np.where(added > 0, added, top)
    instances, _ = relabel(instances)
    return Smear(image, instances, name=name, group=host.group)


def _flipped(smear: Smear, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mirror image and mask at random, in both directions."""
    steps = tuple(slice(None, None, -1) if rng.random() < 0.5 else slice(None) for _ in range(2))
    return smear.image[steps], smear.instances[steps]
