"""The rule-based baseline: masks derived from colours alone, scored as the networks are.

``python -m bloodlib.evaluators.baseline --data chula_rbc12`` stores data/results/baseline/chula_rbc12.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._files import read_json, write_json
from ..derive import derive_instances
from ..smears import Smear
from . import protocol
from .config import TASKS, preset
from .crowding import by_crowding
from .metrics import instance_boxes
from .tasks import BASELINE, Prediction, score_set


def stored_path(data: str, folder: str | Path = "data/results") -> Path:
    """Say where the baseline of a data set is kept.

    Examples
    --------
    >>> stored_path("chula_rbc12").as_posix()
    'data/results/baseline/chula_rbc12.json'
    """
    return Path(folder) / "baseline" / f"{Path(data).name}.json"


def without_points(smears: Sequence[Smear], data: str = "") -> dict[str, Any]:
    """Score the derivation of masks without expert points on test smears.

    Parameters
    ----------
    smears : sequence of Smear
    data : str
        Written into the record.

    Returns
    -------
    dict
        ``scores`` with the names that runs use: of foreground (dice), boxes (AP50, AP, f1), masks
        (mask_AP50, mask_f1), points and counts; ``per_image`` by task; ``crowding``; ``split``.

    Notes
    -----
    No score tells its blobs apart, so all have 1, and AP ranks them in the order in which images and
    blobs come: where many are wrong it says little, and F1 says more. Where the masks of a set were
    themselves derived with points, agreement with them is no merit, since the two share an algorithm;
    only points and counts are independent there. Book: chapter 11.
    """
    found = [derive_instances(smear.image)[0] for smear in smears]
    predictions = [Prediction(instance_boxes(mask), np.ones(int(mask.max(initial=0))), mask) for mask in found]
    scores, per_image = {}, {}
    for task in TASKS:
        mine, per_image[task] = score_set(predictions, smears, preset("laptop", task))
        scores |= mine
    crowds = by_crowding([(p.boxes, p.scores) for p in predictions], [smear.instances for smear in smears])
    return protocol.no_nan(
        {
            "what": BASELINE,
            "dataset": data,
            "scores": scores,
            "per_image": per_image,
            "crowding": crowds,
            "split": {"test": {"images": len(smears), "sha256": protocol.digest(smears)}},
        }
    )


def load_baseline(data: str, folder: str | Path = "data/results") -> dict[str, Any] | None:
    """Read the stored baseline of a data set; None where there is none."""
    path = stored_path(data, folder)
    return read_json(path) if path.is_file() else None


def main(argv: list[str] | None = None) -> int:
    """Score the baseline on the test part and store it."""
    from ..datasets import load

    parser = argparse.ArgumentParser(prog="python -m bloodlib.evaluators.baseline", description=__doc__)
    parser.add_argument("--data", default="chula_rbc12", help="data set name or folder (default: %(default)s)")
    parser.add_argument("--out", help="JSON file to write (default: data/results/baseline/NAME.json)")
    given = parser.parse_args(argv)
    record = without_points(list(load(given.data, split="test")), Path(given.data).name)
    write_json(given.out or stored_path(given.data), record)
    print(", ".join(f"{name} {value:.3f}" for name, value in record["scores"].items() if value is not None))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
