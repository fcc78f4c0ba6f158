"""Write the text outputs of the smoke run back into notebooks/: python -m tools.refresh."""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
from pathlib import Path

import nbformat

from bloodlib._files import read_json, replacing

from . import parameters
from .execute import execute
from .layout import ROOT, Build

IGNORED = "nbval-ignore-output"


def text_only(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Drop pictures and what differs from run to run; keep every output itself, since nbval counts them."""
    kept = []
    for output in outputs:
        output = nbformat.from_dict(json.loads(json.dumps(output)))
        if "data" in output:
            output["data"] = {kind: value for kind, value in output["data"].items() if not kind.startswith("image/")}
            output["metadata"] = {}
        last = kept[-1] if kept else {}
        if output["output_type"] == "stream" and output["name"] == last.get("name"):
            last["text"] += output["text"]  # where a kernel cuts its output depends on the clock
        else:
            kept.append(output)
    return kept


def refreshed(source: nbformat.NotebookNode, executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Give the committed form: the source's cells with the executed copy's text outputs.

    Cells whose live values nbval ignores are stored without output: a stored value that
    nobody compares would only grow old, and differ at every refresh.

    Raises
    ------
    ValueError
        If a cell of the source did not run, or ran with another source.
    """
    ran = {cell.id: cell for cell in executed.cells}
    count = 0
    for cell in source.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if cell.cell_type != "code":
            continue
        twin = ran.get(cell.id)
        if twin is None or twin.source != cell.source or twin.execution_count is None:
            raise ValueError(f"cell {cell.id!r} did not run as it stands; execute the notebook again")
        count += 1
        cell.execution_count = count
        cell.outputs = [] if IGNORED in cell.metadata.get("tags", []) else text_only(twin.outputs)
        for output in cell.outputs:
            if "execution_count" in output:
                output["execution_count"] = count
    source.metadata.pop("papermill", None)
    source.metadata.pop("widgets", None)
    source.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    source.metadata["language_info"] = {"name": "python"}
    return source


def as_text(notebook: nbformat.NotebookNode) -> str:
    """Serialise with one line per line of source, so that changes read well."""
    text = nbformat.writes(notebook)
    return json.dumps(json.loads(text), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def refresh(root: Path = ROOT, only: str = "", say=print) -> list[str]:
    """Refresh notebooks from their smoke run, running what is not up to date.

    Returns
    -------
    names of the notebooks whose file changed

    Raises
    ------
    ValueError
        If the smoke profile departs from a notebook's own defaults, a notebook fails, or an
        output names a path of this machine.
    """
    build = Build("smoke", "phantom", only, root)
    failed = execute(build, say=say)
    if failed:
        raise ValueError(f"{', '.join(failed)} failed, nothing was refreshed")
    changed = []
    for notebook in build.notebooks:
        given = read_json(build.cards / f"{notebook.stem}.json")["parameters"]
        other = parameters.injected(notebook, given)
        if other:
            raise ValueError(
                f"{notebook.name}: smoke runs with {other}, but these are not its own defaults; make them equal"
            )
        executed = nbformat.read(build.executed / notebook.name, as_version=4)
        text = as_text(refreshed(nbformat.read(notebook, as_version=4), executed))
        for path in {str(root), str(Path.home())} - {"/"}:
            if path in text:
                raise ValueError(
                    f"{notebook.name}: an output names {path}, a path of this machine; print a relative one"
                )
        if text != notebook.read_text():
            with replacing(notebook) as beside:
                beside.write_text(text)
            changed.append(notebook.stem)
    return changed


def portable(root: Path = ROOT, only: str = "", say=print) -> list[str]:
    """Run the notebooks as an older processor with one thread would, and compare with what git stores.

    Returns
    -------
    list of str
        The cells that print something else there: their values are stored too finely.
    """
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    os.environ |= {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    build = Build("smoke", "phantom", only, root, variant="-portable")
    found = [f"{name}: failed" for name in execute(build, say=say)]
    for notebook in build.notebooks:
        if not (build.executed / notebook.name).exists():
            continue
        stored = nbformat.read(notebook, as_version=4)
        fresh = refreshed(copy.deepcopy(stored), nbformat.read(build.executed / notebook.name, as_version=4))
        found += [
            f"{notebook.stem}: cell {one.id}"
            for one, other in zip(stored.cells, fresh.cells, strict=True)
            if one.get("outputs") != other.get("outputs")
        ]
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.refresh", description=__doc__)
    parser.add_argument("--only", default="", metavar="NB")
    parser.add_argument(
        "--portable", action="store_true", help="write nothing; say which outputs one thread and AVX2 would change"
    )
    options = parser.parse_args(arguments)
    if options.portable:
        differing = portable(only=options.only, say=lambda line: print(line, flush=True))
        print("\n".join(differing) or "one thread and AVX2 print the same")
        return bool(differing)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "2"
    try:
        changed = refresh(only=options.only, say=lambda line: print(line, flush=True))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"refreshed: {', '.join(changed) or 'nothing had changed'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
