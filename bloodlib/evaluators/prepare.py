"""Make what several runs share, once: ``python -m bloodlib.evaluators.prepare --what painted --turn 0 …``.

On a cluster many runs start at the same moment; each of these things is then a job that they wait for.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .._files import MANIFEST, package_data, read_json, write_json
from ..release import CONFIG, released
from .arms import ARMS, CONTROLS, SOURCES, plan
from .config import PROFILES, backbone_name, preset
from .synthetic import fingerprint, folder_name, painter_for, synthetic_smears

WHAT = ("backbone", "painter", *(source for source in SOURCES if source not in ("shuffled", "repainted", "copy-paste")))


def prepare(
    what: str, data: str, profile: str, artifacts: str, turn: int = 0, progress: bool = False
) -> dict[str, Any]:
    """Make one shared thing, or find it.

    Parameters
    ----------
    what : str
        ``backbone`` (of detectors, trained on the phantom), ``painter``, or a set of synthetic smears by
        its source (`bloodlib.evaluators.arms.SOURCES`).
    data, profile, artifacts : str
    turn : int
        Seed of the painter.
    progress : bool

    Returns
    -------
    dict
        What it is: a fingerprint, the number of smears.
    """
    if what not in WHAT:
        raise ValueError(f"what is {what!r}, allowed are {', '.join(WHAT)}")
    from ..datasets import load

    if what == "backbone":
        from .backbone import phantom_backbone

        config = preset(profile, "faster_rcnn")
        return {"file": phantom_backbone(config, artifacts, progress).name if config.start == "phantom" else None}
    fit = load(data, split="fit")
    folder = painter_for(what, fit, profile, artifacts, turn, progress)
    made: dict[str, Any] = {"painter": fingerprint(folder), "seed": read_json(folder / CONFIG)["seed"]}
    if what != "painter":
        config = preset(profile, "fcn8s")
        plans = [plan(arm, config.real_images or len(fit), config.multiple) for arm in ARMS + CONTROLS]
        count = max(planned.synthetic for planned in plans if planned.source == what)
        made["smears"] = len(synthetic_smears(fit, count, folder, artifacts, what, progress))
    return made


def is_there(what: str, made: dict[str, Any], profile: str, artifacts: str | Path) -> bool:
    """Say whether a thing that `prepare` once made is still what runs would look for.

    Parameters
    ----------
    what : str
        As in `prepare`.
    made : dict
        What `prepare` gave then.
    profile : str
    artifacts : path

    Notes
    -----
    Files that were deleted are seen, and so is another backbone of the present preset, or another released painter;
    not a data set that has changed, for it would have to be read.
    """
    artifacts = Path(artifacts)
    if what == "backbone":
        config = preset(profile, "faster_rcnn")
        name = backbone_name(config) if config.start == "phantom" else None
        return made.get("file") == name and (name is None or (artifacts / name).is_file())
    known = [package_data("models", name) for name in released()]
    if what != "released":
        known += [path.parent for path in artifacts.glob(f"painter*/{CONFIG}")]
        known += [path.parent for path in package_data("painters").glob(f"*/{CONFIG}")]
    if made.get("painter") not in map(fingerprint, known):
        return False
    if what == "painter":
        return True
    manifest = artifacts / folder_name(made["painter"], what) / MANIFEST
    return manifest.is_file() and len(read_json(manifest)["smears"]) >= made["smears"]


def forget_missing(prepared: str | Path, profile: str, artifacts: str | Path) -> list[str]:
    """Remove the small files of things that are gone or are others now, so that they are made again; give their names.

    Otherwise every run that needs such a thing would make it by itself.
    """
    gone = []
    for path in sorted(Path(prepared).glob("[a-z]*.json")):
        what = path.stem.rsplit("-", 1)[0]
        if what in WHAT and not is_there(what, read_json(path), profile, artifacts):
            path.unlink()
            gone.append(path.stem)
    return gone


def main(argv: list[str] | None = None) -> int:
    """Make one shared thing and say in a small file that it is there."""
    parser = argparse.ArgumentParser(prog="python -m bloodlib.evaluators.prepare", description=__doc__)
    parser.add_argument("--what", choices=WHAT, required=True)
    parser.add_argument("--turn", type=int, default=0, help="seed of the painter (default: %(default)s)")
    parser.add_argument("--data", default="phantom", help="data set name or folder (default: %(default)s)")
    parser.add_argument("--profile", choices=PROFILES, default="laptop")
    parser.add_argument("--artifacts", required=True, help="folder of trained models and synthetic smears")
    parser.add_argument("--out", required=True, help="JSON file that says what was made")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--progress", action="store_true")
    given = parser.parse_args(argv)

    import torch

    torch.set_num_threads(given.threads)
    made = prepare(given.what, given.data, given.profile, given.artifacts, given.turn, given.progress)
    write_json(given.out, made)
    print(f"{given.what}: {', '.join(f'{key} {value}' for key, value in made.items())}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
