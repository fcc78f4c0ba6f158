"""Places that notebooks name from the root of the checkout, wherever they are run."""

from __future__ import annotations

import os
from pathlib import Path

MARK = "_toc.yml"


def in_checkout(path: str | os.PathLike[str]) -> str:
    """Take a relative path from the root of the checkout that the working directory lies in.

    Parameters
    ----------
    path : path
        An absolute one is given back as it is.

    Returns
    -------
    str
        Relative to the working directory. Outside a checkout (no folder above holds ``_toc.yml``)
        the path itself: notebooks that were copied elsewhere keep their files beside them.
    """
    path, here = Path(path), Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / MARK).is_file()), None)
    return str(path) if path.is_absolute() or root is None else os.path.relpath(root / path)
