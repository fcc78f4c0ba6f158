"""Measure the phantom at full size against Table 1, and how long a smear takes: data/results/phantom_table1.json.

"RBC colours 154×151×162 ± 20×17×21" is read as mean and standard deviation, over cells, of each cell's mean
colour; sizes are bounding boxes of the cells that no border cuts; counts include the cut ones.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import bloodlib
from bloodlib._files import write_json
from bloodlib.datasets import phantom
from bloodlib.smears import Smear, SmearFolder

RESULT = Path(__file__).parent.parent / "data" / "results" / "phantom_table1.json"


def _timed(folder: SmearFolder, seconds: list[float]) -> Iterator[Smear]:
    """Give the smears of a folder and note how long each took to render, in CPU seconds."""
    for position in range(len(folder)):
        start = time.process_time()
        smear = folder[position]
        seconds.append(time.process_time() - start)
        yield smear


def main() -> None:
    """Render the training part at the default and at the full size, print and store its Table 1."""
    result = {"dataset": phantom.TITLE, "split": "train", "colour": "over cells, of each cell's mean colour"}
    for label, shape in (("default", (300, 480)), ("full", phantom.FULL_SHAPE)):
        seconds: list[float] = []
        table = bloodlib.describe(_timed(phantom.load("train", shape=shape), seconds))
        cpu = {"mean": round(sum(seconds) / len(seconds), 3), "longest": round(max(seconds), 3)}
        result[label] = {"shape": list(shape), "table1": table.to_dict(), "cpu_seconds_per_smear": cpu}
        print(f"{label} size {shape[1]}×{shape[0]}: {cpu['mean']:.2f} CPU-s per smear, longest {cpu['longest']:.2f}")
        for name, mean, deviation in table.rows():
            print(f"  {name:24s} {mean:8.1f} ± {deviation:.1f}")
    write_json(RESULT, result)


if __name__ == "__main__":
    main()
