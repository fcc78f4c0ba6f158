"""Render an executed book once more and compare: python -m tools.twice --profile smoke --data phantom."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from dataclasses import replace

from . import compare
from .build import build_html
from .layout import PROFILES, Build
from .stage import stage


def render_again(build: Build) -> Build:
    """Build a book from another one's executed notebooks; all else is made anew, the play pages' pictures as well.

    Returns
    -------
    Build
        The second book, in a folder of its own.

    Raises
    ------
    ValueError
        If a notebook of the book has no executed copy.
    RuntimeError
        If the pages cannot be built.
    """
    again = replace(build, variant="-again")
    shutil.rmtree(again.folder, ignore_errors=True)
    again.folder.mkdir(parents=True)
    for ours, theirs in ((again.executed, build.executed), (again.cards, build.cards)):
        ours.symlink_to(theirs, target_is_directory=True)
    stage(again)
    if build_html(again):
        raise RuntimeError(f"{os.path.relpath(again.site)}: the pages could not be built")
    return again


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.twice", description=__doc__)
    parser.add_argument("--profile", default="smoke", choices=PROFILES)
    parser.add_argument("--data", default="phantom")
    options = parser.parse_args(arguments)
    build = Build(options.profile, options.data)
    if not (build.html / "index.html").exists():
        print(f"error: {os.path.relpath(build.html)}: no book to compare with; run make book first", file=sys.stderr)
        return 2
    try:
        again = render_again(build)
    except (ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    status = compare.main([os.path.relpath(build.html), os.path.relpath(again.html)])
    if status == 0:
        shutil.rmtree(again.folder)
    return status


if __name__ == "__main__":
    sys.exit(main())
