"""Lay out what Jupyter Book builds: python -m tools.stage --profile smoke --data phantom."""

from __future__ import annotations

import argparse
import base64
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import yaml

from bloodlib._files import read_json

from . import dials, facts, made, showcase
from .execute import is_current
from .layout import PROFILES, Build, fingerprint, notebooks
from .typography import minus

LANDING_FIGURE = "fig-07-whole"
BANNERS = {
    "phantom": "Phantom build: every smear shown here is rendered or painted by computer. None of it is blood, and "
    "nothing computed from it is a result on blood. Results on real smears are stored ones, and name their data set.",
    "chula_rbc12": "Chula RBC-12 build: real smears, cell masks derived from them by this project. Not for diagnosis.",
}


def stage(build: Build) -> Path:
    """Mirror the book's tree with the executed notebooks, and write what depends on the build.

    Returns
    -------
    Path
        The staged tree.

    Raises
    ------
    ValueError
        If a notebook of the book has no executed copy.
    """
    site = build.site
    if site.exists():
        shutil.rmtree(site)
    site.mkdir(parents=True)
    shutil.copytree(build.root / "book", site / "book")
    (site / "notebooks").mkdir()
    for notebook in build.notebooks:
        card = _card(notebook, build)
        page = page_of(nbformat.read(build.executed / notebook.name, as_version=4), card, build.root)
        nbformat.write(page, site / "notebooks" / notebook.name)
    picture = landing_picture(build, site / "book")
    if build.only:
        for other in set(notebooks(build.root)) - set(build.notebooks):
            (site / "notebooks" / f"{other.stem}.md").write_text(stub(other))
    check_contents(yaml.safe_load((build.root / "_toc.yml").read_text()), build.root)
    shutil.copy(build.root / "_toc.yml", site)
    config = yaml.safe_load((build.root / "_config.yml").read_text())
    config = configured(config, build)
    shown = showcase.pictures(build)
    if folder := shown.get("folder"):
        shutil.copytree(folder, site / "book" / "_static" / showcase.FOLDER)
    config["parse"]["myst_substitutions"] |= {"landing_picture": picture, **showcase.substitutions(shown)}
    (site / "_config.yml").write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    return site


def _card(notebook: Path, build: Build) -> dict[str, Any]:
    path = build.cards / f"{notebook.stem}.json"
    again = f"python -m tools.execute --profile {build.profile} --data {build.data} --only {notebook.stem}"
    if not path.exists() or not (build.executed / notebook.name).exists():
        raise ValueError(f"{notebook.name}: no executed copy in {build.executed.relative_to(build.root)}; run {again}")
    card = read_json(path)
    if not is_current(notebook, build, fingerprint(notebook, card["parameters"], build)):
        print(
            f"note: {notebook.name} was executed before the last change of it or the library; {again}", file=sys.stderr
        )
    return card


def landing_picture(build: Build, folder: Path) -> str:
    """Put one executed figure on the landing page; nothing where its chapter was not executed.

    Returns
    -------
    str
        MyST of the figure.
    """
    for path in sorted(build.executed.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            about = cell.metadata.get("mystnb", {})
            pictures = [o.data["image/png"] for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
            if about.get("figure", {}).get("name") == LANDING_FIGURE and pictures:
                (folder / "landing.png").write_bytes(base64.b64decode(pictures[0]))
                caption = f"{about['figure']['caption']} From {{doc}}`../notebooks/{path.stem}`."
                shown = (
                    f"```{{figure}} landing.png\n:alt: {about['image']['alt']}\n:figclass: landing\n\n{caption}\n```"
                )
                card = read_json(build.cards / f"{path.stem}.json")
                return f"{shown}\n\n{made.note(notebook, cell, card, build.root, here=False)}"
    return ""


def page_of(notebook: nbformat.NotebookNode, card: dict[str, Any], root: Path) -> nbformat.NotebookNode:
    """Turn an executed notebook into a page: parameters folded, run card under the title, a note under each figure."""
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        for output in cell.get("outputs", []):
            if "text" in output:  # a warning names the file that it comes from
                output["text"] = output["text"].replace(f"{root}{os.sep}", "")
            for kind in {"text/markdown"} & output.get("data", {}).keys():
                output["data"][kind] = minus(output["data"][kind])
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            cell.metadata["tags"] = sorted({*tags, "remove-cell"})
        elif "parameters" in tags:
            cell.metadata["tags"] = sorted({*tags, "hide-input"})
            cell.metadata.setdefault("mystnb", {})["code_prompt_show"] = "Show the parameters and their defaults"
        if cell.id == dials.CELL:
            cell.source = dials.with_times(cell.source, dials.times(root, card["notebook"]))
    made.explain(notebook, card, root)
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(run_card(card), id="run-card"))
    return notebook


def run_card(card: dict[str, Any]) -> str:
    """Write how a page was made, as MyST, closed until it is opened."""
    values = (
        ", ".join(f"`{name} = {value!r}`" for name, value in card["parameters"].items()) or "the notebook's defaults"
    )
    rows = {
        "Profile": card["profile"],
        "Data set": f"`{card['data']}`",
        "Parameters": values,
        "Seed": card["seed"],
        "Device": card["device"],
        "Time": f"{card['seconds']} s",
        "Commit": card["commit"],
    }
    number, folder = card["notebook"].split("_")[0], shlex.quote(card["data"])
    make = f"make chapter NB={number} PROFILE={card['profile']} DATA={folder}"
    return "\n".join(
        [
            f"({made.label(card)})=",
            f"::::{{dropdown}} Run card: {card['profile']} profile, {card['data']}, {card['seconds']} s",
            ":class-container: run-card",
            "",
            *[f"{name}\n: {value}\n" for name, value in rows.items()],
            "Run it again, from the top of a checkout:",
            "",
            "```bash",
            card["command"],
            "```",
            "",
            "or, as a page of the book:",
            "",
            "```bash",
            make,
            "```",
            "::::",
        ]
    )


def stub(notebook: Path) -> str:
    """Stand in for a chapter that was not asked for, so that links to it lead somewhere."""
    title = nbformat.read(notebook, as_version=4).cells[0].source.splitlines()[0]
    return f"{title}\n\nThis build holds another chapter only; `make book` builds them all.\n"


def check_contents(toc: dict[str, Any], root: Path) -> None:
    """Hold the table of contents and notebooks/ together.

    Raises
    ------
    ValueError
        If they do not list the same notebooks.
    """
    listed = {c["file"] for part in toc["parts"] for c in part["chapters"] if c["file"].startswith("notebooks/")}
    present = {f"notebooks/{path.stem}" for path in notebooks(root)}
    if listed != present:
        raise ValueError(f"_toc.yml and notebooks/ differ in {', '.join(sorted(listed ^ present))}")


def configured(config: dict[str, Any], build: Build) -> dict[str, Any]:
    """Add the numbers, the banner and, where a repository is named, its buttons."""
    title = BANNERS.get(
        build.data, f"This build shows {Path(build.data).name}, a data set of its reader. Not for diagnosis."
    )
    config["html"]["announcement"] = title
    config["parse"]["myst_substitutions"] = facts.substitutions(build.root) | {
        "build_profile": build.profile,
        "build_data": Path(build.data).name,
        "build_banner": title,
    }
    return config | repository(os.environ.get("REPOSITORY_URL", "").rstrip("/"), config["html"])


def repository(url: str, html: dict[str, Any]) -> dict[str, Any]:
    """Give the settings of the repository's and launch buttons; nothing without an address.

    Raises
    ------
    ValueError
        If the theme has no buttons for the address's host.
    """
    if not url:
        return {}
    host = urlsplit(url).hostname or ""
    if host not in ("github.com", "gitlab.com"):
        raise ValueError(f"REPOSITORY_URL is {url!r}; buttons exist for https://github.com/… and https://gitlab.com/…")
    html |= {"use_repository_button": True, "use_issues_button": True}
    launch = {"notebook_interface": "jupyterlab", "binderhub_url": "https://mybinder.org"}
    if host == "github.com":
        launch["colab_url"] = "https://colab.research.google.com"
    branch = os.environ.get("REPOSITORY_BRANCH", "main")
    return {"repository": {"url": url, "path_to_book": "", "branch": branch}, "launch_buttons": launch}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.stage", description=__doc__)
    parser.add_argument("--profile", default="smoke", choices=PROFILES)
    parser.add_argument("--data", default="phantom")
    parser.add_argument("--only", default="", metavar="NB")
    options = parser.parse_args(arguments)
    try:
        site = stage(Build(options.profile, options.data, options.only))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"staged {len(list((site / 'notebooks').glob('*.ipynb')))} notebooks in {os.path.relpath(site)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
