"""What became of the paper's claims: the table of book/claims.md, its verdicts read from stored results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bloodlib._files import read_json

ADHESION, UNIFORM = "final, inverted", "uniform"
NOT_STORED = "could not test: nothing is stored in this checkout"


def table(root: Path, runs: list[dict[str, Any]], quoted: dict[str, Any]) -> str:
    """Write each claim, what was done about it, the verdict, and the chapter, as a Markdown table.

    Parameters
    ----------
    root : Path
        The checkout.
    runs : list of dict
        Stored runs of Table 2.
    quoted : dict
        Of ``data/quoted.yml``.
    """
    stored, paper = root / "data" / "results", quoted["bailo2019"]
    rows = [
        (
            f"A mask takes {paper['sampler']['seconds_per_mask']} s",
            "drawn from the same law without its map",
            _mask(stored / "masks.json"),
            "03_probability_map",
        ),
        (
            "Adhesion looks more like blood than uniform placement",
            "distances to real slides, and a test that can say no",
            _layout(stored / "layouts.json"),
            "04_layout_realism",
        ),
        (
            "pix2pixHD paints a smear from its mask",
            "trained on open smears; a blind test, and a list of what is wrong",
            "partly: pictures of blood, and told from real ones by who looks closely",
            "07_synthetic_dataset",
        ),
        (
            f"An image takes {paper['gan']['seconds_per_image']} s on the paper's card",
            "timed on other machines only",
            "could not test: not that card",
            "07_synthetic_dataset",
        ),
        *_contrasts(runs),
    ]
    lines = ["| the paper says | what we did | verdict | chapter |", "|---|---|---|---|"]
    lines += [f"| {says} | {did} | {said} | {{doc}}`../notebooks/{chapter}` |" for says, did, said, chapter in rows]
    return "\n".join(lines)


def _mask(path: Path) -> str:
    if not path.is_file():
        return NOT_STORED
    found = read_json(path)
    seconds = f"{found['generator_seconds']:.2g} CPU-s"
    return f"reproduced, and {found['ratio']:,.0f} times faster than the literal form: {seconds}"


def _layout(path: Path) -> str:
    if not path.is_file():
        return NOT_STORED
    slides = list(read_json(path)["groups"].values())
    far = {n: [slide["layouts"][n]["distance"]["all"] for slide in slides] for n in (ADHESION, UNIFORM)}
    nearer = sum(a < u for a, u in zip(far[ADHESION], far[UNIFORM], strict=True))
    rejected = sum(slide["layouts"][ADHESION]["p"]["all together"] <= 0.05 for slide in slides)
    word = "reproduced" if nearer == len(slides) else "partly" if 2 * nearer > len(slides) else "not reproduced"
    return (
        f"{word}: nearer than uniform on {nearer} of {len(slides)} test slides (mean distance "
        f"{np.mean(far[ADHESION]):.1f} against {np.mean(far[UNIFORM]):.1f}); "
        f"{rejected} slides still tell it from real cells"
    )


def _contrasts(runs: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Give a row for each primary difference and network of the first set of runs; real data come first."""
    from bloodlib import datasets
    from bloodlib.evaluators import report
    from bloodlib.evaluators.contrasts import PRIMARY

    says = {
        PRIMARY[0]: "Real, synthetic and augmented together are best",
        PRIMARY[1]: "Synthetic alone is worse than real (better for Faster R-CNN)",
    }
    for (data, profile), mine in report.by_set(runs).items():
        found = report.primary(mine, np.random.default_rng(0))
        did = f"{datasets.title(data)}, {profile} profile"
        rows = [
            (f"{says[arm, against]}: {report.TITLES[task]}", f"{arm} against {against}; {did}", report.verdict(c))
            for (task, arm, against), c in found.items()
            if (arm, against) in says
        ]
        if rows:
            return [(*row, "11_table2") for row in sorted(rows)]
    return [("The gains of its Table 2", "the same arms, on open data", NOT_STORED, "11_table2")]
