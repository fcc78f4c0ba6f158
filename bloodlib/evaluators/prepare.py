"""Make what several runs share, once: ``python -m bloodlib.evaluators.prepare --what painted --turn 0 …``.

On a cluster many runs start at the same moment; each of these things is then a job that they wait for.
"""

from __future__ import annotations

import argparse
from typing import Any

from .._files import read_json, write_json
from ..release import CONFIG
from .arms import ARMS, CONTROLS, SOURCES, plan
from .backbone import phantom_backbone
from .config import PROFILES, preset
from .synthetic import fingerprint, painter_for, synthetic_smears

WHAT = ("backbone", "painter", *(source for source in SOURCES if source not in ("shuffled", "copy-paste")))


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
