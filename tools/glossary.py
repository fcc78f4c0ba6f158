"""Hold glossary and pages together: python -m tools.glossary [--write] links the first use of a term on each page."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat

from .layout import ROOT, notebooks

GLOSSARY = Path("book") / "glossary.md"
# Words that a term is used by, where they are not the term itself and its plural.
FORMS = {
    "Dice score": r"Dice(?: scores?)?",
    "pair correlation": r"pair[ -]correlations?",
    "shape database": r"shape databases?|database of (?:cell )?shapes",
    "arm": r"arms?(?!['’]s)",  # "at arm's length" is of another kind
    "profile": r"profiles?",
    "AP50": "AP50",
    "F1": "(?<!point )F1",
    "KID": "KID",
    "Holm's correction": r"Holm(?:['’]s(?: correction| adjustment)?)?",
}
_ROLE = re.compile(r"\{term\}`([^`<]*?)(?:\s*<([^`>]*)>)?`")
_NO_PROSE = [
    re.compile(pattern, re.MULTILINE | re.DOTALL)
    for pattern in (
        r"\{\{.*?\}\}",  # substitutions
        r"\$\$.*?\$\$",
        r"\$[^$\n]+\$",
        r"\{[\w:]+\}`[^`]*`",  # roles
        r"(`+)[^`].*?\1",
        r"\[[^\]]*\]\([^)]*\)",  # links, pictures
        r"<[^>\n]+>",
        r"^#+ [^\n]*$",
        r"^[ \t]*\|[^\n]*$",  # tables
        r"^:[\w-]+:[^\n]*$|^\([\w-]+\)=$",  # options of directives, targets
    )
]


_FENCE = re.compile(r"^(`{3,}|~{3,}|:{3,})(?:\{([\w:-]+)\})?")
_NOT_READ = ("raw", "math", "grid", "figure", "table", "code", "code-cell", "bibliography")


def blanked(text: str) -> str:
    """Put blanks in the place of all that is no prose: code, maths, links, tables, headings, directives."""
    lines, open_fences = [], []
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        within = open_fences[-1] if open_fences else ("", True)
        if fence and line.strip() == within[0]:
            open_fences.pop()
        elif fence and (within[1] or fence[1][0] == ":"):
            open_fences.append((fence[1], within[1] and bool(fence[2]) and fence[2] not in _NOT_READ))
        lines.append(line if within[1] and not fence else " " * len(line))
    prose = "\n".join(lines)
    for pattern in _NO_PROSE:
        prose = pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), prose)
    return prose


def terms(text: str) -> list[str]:
    """Read the terms of a glossary page, the longest first, so that a part of a term is not taken for another one."""
    inside = re.search(r"^```\{glossary\}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1]
    found = [line for line in inside.splitlines() if line and not line.startswith((" ", ":"))]
    return sorted(found, key=len, reverse=True)


def _words(name: str) -> str:
    words = FORMS.get(name, re.escape(name).replace(r"\ ", r"\s+") + r"(?:s|es)?")
    return rf"(?<![\w-])(?:{words})(?![\w-])"


def _is_for(role: re.Match[str], name: str) -> bool:
    return name.lower() == (role[2] or role[1]).lower() or bool(re.fullmatch(_words(name), role[1], re.IGNORECASE))


def unlinked(text: str, names: Sequence[str]) -> list[tuple[str, int, int]]:
    """Find the terms whose first use in a page's prose is no link: name, start and end of that use.

    A word that a page first uses for a longer term (``{term}`generator <mask generator>` ``) is linked by that.
    """
    roles: dict[str, int] = {}
    for role in _ROLE.finditer(text):
        for name in filter(lambda name, role=role: _is_for(role, name), names):
            roles.setdefault(name, role.start())
    prose, found = blanked(text), []
    for name in names:
        words = _words(name)
        use = re.search(words, prose, 0 if name.isupper() else re.IGNORECASE)
        if use and use.start() < roles.get(name, len(text)):
            found.append((name, use.start(), use.end()))
        prose = re.sub(words, lambda used: re.sub(r"[^\n]", " ", used[0]), prose, flags=re.IGNORECASE)
    return found


def linked(text: str, names: Sequence[str]) -> str:
    """Link the first use of every term."""
    for name, start, end in sorted(unlinked(text, names), key=lambda found: -found[1]):
        said = " ".join(text[start:end].split())
        role = f"{{term}}`{said}`" if said == name else f"{{term}}`{said} <{name}>`"
        text = text[:start] + role + text[end:]
    return text


def pages(root: Path = ROOT) -> list[Path]:
    """List the pages whose words the glossary explains."""
    return [path for path in sorted((root / "book").glob("*.md")) if path.name != GLOSSARY.name] + notebooks(root)


def read(path: Path) -> str:
    """Give a page's Markdown; that of a notebook's cells one after another."""
    if path.suffix == ".md":
        return path.read_text()
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def link(path: Path, names: Sequence[str]) -> None:
    """Link the first uses in one file."""
    if path.suffix == ".md":
        path.write_text(linked(path.read_text(), names))
        return
    from .refresh import as_text

    notebook, left = nbformat.read(path, as_version=4), list(names)
    cells = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
    for cell in cells:
        cell.source = linked(cell.source, left)
        left = [name for name in left if not any(_is_for(role, name) for role in _ROLE.finditer(cell.source))]
    path.write_text(as_text(notebook))


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.glossary", description=__doc__)
    parser.add_argument("--write", action="store_true", help="link them; without it they are listed")
    parser.add_argument("--only", default="", help="pages whose name begins so")
    options = parser.parse_args(arguments)
    names, missing = terms((root / GLOSSARY).read_text()), 0
    for path in pages(root):
        if not path.name.startswith(options.only):
            continue
        if options.write:
            link(path, names)
        text = read(path)
        for name, start, _ in unlinked(text, names):
            missing += 1
            print(f"{path.relative_to(root)}: {name}: … {' '.join(text[max(0, start - 40) : start + 40].split())} …")
    return int(missing > 0)


if __name__ == "__main__":
    sys.exit(main())
