"""What the book shows and ships, and under which licence: a table for the page of limits."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from bloodlib._files import read_json
from bloodlib.datasets import registry

PAINTED_BY = ("data/models", "data/painters")
THEME = (  # packages whose scripts and styles a built page loads
    "sphinx-book-theme",
    "pydata-sphinx-theme",
    "Sphinx",
    "myst-nb",
    "sphinx-copybutton",
    "sphinx-design",
    "sphinx-exercise",
    "sphinx-proof",
    "sphinx-togglebutton",
)
# What the theme brings along: the licence stands in the file, which is looked for where the theme is installed.
BROUGHT = {
    "Bootstrap": ("scripts/bootstrap.js.LICENSE.txt", "MIT"),
    "Font Awesome Free, icons as fonts": (
        "scripts/fontawesome.js.LICENSE.txt",
        "Icons: CC BY 4.0, Fonts: SIL OFL 1.1, Code: MIT",
    ),
}


def table(root: Path) -> str:
    """Write it as Markdown: what is shown, what it comes from, the licence of either."""
    lines = ["| what | made from | licence |", "|---|---|---|"]
    lines.append("| text, code, drawings, diagrams, masks that the sampler drew | – | BSD-3-Clause, this project's |")
    for one in registry.available():
        where = (
            "rendered by this project" if one.name == "phantom" else "shown in builds on this set, never kept in git"
        )
        lines.append(f"| pictures of `{one.name}`: {one.holds} | {where} | {one.licence} |")
    for name, of, licence, data in painted(root):
        lines.append(f"| painted or judged by `{name}` | {of} | weights {licence}; data {data} |")
    lines.append("| mathematics on the pages | MathJax 3.2.2, shipped with the pages | Apache-2.0 |")
    for name, (_, licence) in BROUGHT.items():
        lines.append(f"| {name} | shipped with the theme | {licence} |")
    for name in THEME:
        lines.append(f"| scripts and styles of the pages | {name} {metadata.version(name)} | {of_package(name)} |")
    return "\n".join(lines)


def painted(root: Path) -> list[tuple[str, str, str, str]]:
    """List the stored networks: folder, what it was fitted on, licence of the weights, licence of those data.

    Raises
    ------
    ValueError
        If a network says neither what it was fitted on nor under which licence it is.
    """
    found = []
    for folder in sorted(one for parent in PAINTED_BY for one in (root / parent).glob("*") if one.is_dir()):
        about = next((one for one in (folder / "card.json", folder / "config.json") if one.exists()), None)
        said = read_json(about) if about else {}
        said |= said.get("released", {})
        data = said.get("data", said.get("dataset", ""))
        data = data.get("title", "") if isinstance(data, dict) else data
        if not (data and said.get("licence") and said.get("data_licence")):
            raise ValueError(f"{folder}: card.json or config.json must name data, licence and data_licence")
        found.append((folder.name, data, said["licence"].removesuffix(" (these weights)"), said["data_licence"]))
    return found


def of_package(name: str) -> str:
    """Give the licence that an installed package declares."""
    about = metadata.metadata(name)
    classified = [
        one.rsplit(" :: ", 1)[1] for one in about.get_all("Classifier") or [] if one.startswith("License :: ")
    ]
    declared = about.get("License-Expression") or ", ".join(classified) or (about.get("License") or "").splitlines()[0]
    return declared.removesuffix(" License")
