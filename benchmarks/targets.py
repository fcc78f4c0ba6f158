"""What the project set out to reach, and what the last stored measurement of each line says.

``python -m benchmarks targets`` prints the table; ``python -m benchmarks`` measures everything first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bloodlib._files import package_data, read_json, write_json

COMMAND = "python -m benchmarks"
ROOT = Path(__file__).resolve().parents[1]
FULL = "1920×1200"
SITE = "built site"


@dataclass(frozen=True)
class Line:
    """One line of what is to be reached, with the last measurement that is stored."""

    what: str
    target: float
    unit: str
    least: bool = False  # whether more is better
    measured: float | None = None  # None: not stored
    device: str = "not recorded"
    date: str = "not recorded"
    command: str = COMMAND

    @property
    def reached(self) -> bool | None:
        """Whether the target is met; None where nothing is stored."""
        if self.measured is None:
            return None
        return self.measured >= self.target if self.least else self.measured <= self.target


def lines(results: Path | None = None, build: Path = ROOT / "build") -> list[Line]:
    """Collect every target with its last stored measurement.

    Parameters
    ----------
    results : path, optional
        The stored results; those of the checkout if not given.
    build : path
        Where built books are; the largest counts.

    Returns
    -------
    list of Line
        In the order of the design. Times of the painter are by the clock, the others CPU seconds.
    """
    results = package_data("results") if results is None else results
    return [*_masks(results), *_painter(results), *_scores(results), _site(build)]


def _stored(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}


def _masks(results: Path) -> list[Line]:
    found = _stored(results / "masks.json")
    by_count = {row["requested"]: row["seconds"] for row in found.get("by_count", ())}
    about = {
        "device": found.get("device", found.get("machine", "not recorded")),
        "date": found.get("date", "not recorded"),
    }
    about["command"] = "python -m benchmarks masks"
    return [
        Line(f"mask, {FULL}, 669 cells", 0.10, "CPU-s", measured=found.get("generator_seconds"), **about),
        Line("the same against the literal form", 800, "times faster", True, found.get("ratio"), **about),
        Line("mask, 967 cells asked, which cannot fit", 2.0, "CPU-s", measured=by_count.get(967), **about),
    ]


def _painter(results: Path) -> list[Line]:
    found = _stored(results / "painter" / "bench.json")
    rows = {(row["what"], row["size"]): row for row in found.get("rows", ())}
    command = "python -m benchmarks painter"

    def on(what: str, size: str = FULL) -> dict[str, str]:
        """Say on what and when a row was measured; one that was measured later than the others says so itself."""
        row = found | rows.get((what, size), {})
        threads = f", {row['threads']} threads, load {row['load_before']}" if found else ""
        device = f"{row.get('device', 'not recorded')}{threads}"
        return {"device": device, "date": row.get("date", "not recorded"), "command": command}

    def of(what: str, size: str = FULL, key: str = "seconds") -> float | None:
        return rows.get((what, size), {}).get(key)

    stream, pooled = of("stream", "256×256"), of("pool", key="instances") or 669
    precision = "bfloat16" if found.get("precision") == "bfloat16" else "float32"
    stream_on, laptop_on = on("stream", "256×256"), on("laptop stage 1", "640×480")
    image = f"{precision} image from a mask, {FULL}, the paper's network"
    return [
        Line(f"pooling {pooled} instances, forward and backward", 0.25, "s", measured=of("pool"), **on("pool")),
        Line("training step, 512×512", 0.40, "s", measured=of("step", "512×512"), **on("step", "512×512")),
        Line(f"training step, {FULL}", 5.0, "s", measured=of("step"), **on("step")),
        Line(f"memory of that step, {FULL}", 4.0, "GiB", measured=of("step", key="peak_gib"), **on("step")),
        Line(image, 1.0, "s", measured=of("paint"), **on("paint")),
        Line("the same, the laptop profile's network", 1.0, "s", measured=of("paint, laptop"), **on("paint, laptop")),
        Line(
            "labelled samples painted while training, 256×256",
            20,
            "per s",
            True,
            stream and 1 / stream,
            **stream_on,
        ),
        Line(
            "training of the laptop profile, projected from a few steps",
            2,
            "hours",
            measured=_hours(rows),
            **laptop_on,
        ),
    ]


def _hours(rows: Mapping[tuple[str, str], Mapping[str, Any]]) -> float | None:
    """Give what both stages of the laptop profile would take, None where they were not timed."""
    stages = [row for (what, _), row in rows.items() if what.startswith("laptop stage")]
    return sum(row["seconds"] * row["steps"] for row in stages) / 3600 if stages else None


def _scores(results: Path) -> list[Line]:
    found = _stored(results / "evaluators.json")
    about = {"device": found.get("device", "not recorded"), "date": found.get("date", "not recorded")}
    seconds = found.get("average_precision_cpu_seconds")
    what = "AP of 40 images of 669 cells"
    return [Line(what, 5.0, "CPU-s", measured=seconds, command="python -m benchmarks evaluators", **about)]


def _site(build: Path) -> Line:
    sizes = [sum(p.stat().st_size for p in html.rglob("*") if p.is_file()) for html in build.glob("*/html")]
    about = {"device": "any", "date": "the build that is here"} if sizes else {}
    size = max(sizes) / 1e6 if sizes else None
    return Line(SITE, 60, "MB", measured=size, command="make book", **about)


def table(found: list[Line]) -> str:
    """Write the lines as a Markdown table."""
    answer = {True: "reached", False: "**not reached**", None: "not stored"}
    rows = ["| what | reach | measured | reached? | on what | when |", "|---" * 6 + "|"]
    for line in found:
        sign = "≥" if line.least else "≤"
        measured = "–" if line.measured is None else f"{_short(line.measured)} {line.unit}"
        about = (line.device, line.date) if line.measured is not None else ("–", "–")
        cells = (line.what, f"{sign} {line.target:g} {line.unit}", measured, answer[line.reached], *about)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def main(out: Path = ROOT / "build" / "benchmarks.json") -> None:
    """Print every target beside what is stored, and write both as JSON."""
    found = lines()
    print(table(found))
    write_json(out, [{**asdict(line), "reached": line.reached} for line in found])
    print(f"\n{sum(line.reached is True for line in found)} of {len(found)} reached; {out.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
