"""MyST as plain Markdown, for Jupyter without the book around it: roles become words, labels and fences go.

Links lead to other chapters, which lie beside; what the book has beyond its chapters is named, not linked.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import nbformat

from .layout import notebooks

FIGURES = "figures"  # beside the notebooks: the pictures that their text shows
_FENCE = r"^(?P<fence>:{3,}|`{3,})"
_OPTIONS = r"(?P<options>(?::[^\n]*\n)*)(?P<text>.*?)^(?P=fence)[ \t]*$"
_SOLUTION = re.compile(_FENCE + r"\{solution\}.*?^(?P=fence)[ \t]*$\n?", re.MULTILINE | re.DOTALL)
_EXERCISE = re.compile(_FENCE + r"\{exercise\}[^\n]*\n" + _OPTIONS, re.MULTILINE | re.DOTALL)
_FIGURE = re.compile(_FENCE + r"\{figure\}[ \t]*(?P<path>\S+)\n" + _OPTIONS, re.MULTILINE | re.DOTALL)
_TITLED = re.compile(
    _FENCE + r"\{(?:dropdown|admonition)\}[ \t]*(?P<title>[^\n]*)\n" + _OPTIONS, re.MULTILINE | re.DOTALL
)
_ROLE = re.compile(r"\{(?P<role>doc|ref|numref|term|cite:[tp])\}`(?P<words>[^`<]*?)(?:\s*<(?P<target>[^`>]*)>)?`")
_LABEL = re.compile(r"^\((?P<label>[\w-]+)\)=[ \t]*\n", re.MULTILINE)
_HEADING = re.compile(r"^#+[ \t]+(.+?)[ \t]*$", re.MULTILINE)
_ENTRY = re.compile(r"^@\w+\{(\w+),(.*?)^\}", re.MULTILINE | re.DOTALL)
_AUTHOR = re.compile(r"author\s*=\s*\{(.*?)\},?\s*$", re.MULTILINE)
_YEAR = re.compile(r"year\s*=\s*\{(\d+)\}")
ANSWER = "*Your answer:*"


@dataclass
class Book:
    """Know what a role may name: chapters, labels with their headings, figures, pages, and the literature."""

    titles: dict[str, str] = field(default_factory=dict)  # of chapters and pages, by file name
    labels: dict[str, tuple[str, str]] = field(default_factory=dict)  # chapter, heading
    figures: dict[str, tuple[str, int]] = field(default_factory=dict)  # chapter, number within it
    cited: dict[str, tuple[str, str]] = field(default_factory=dict)  # authors, year
    chapters: frozenset[str] = frozenset()

    @classmethod
    def read(cls, root: Path) -> Book:
        """Collect it from a checkout."""
        chapters = {path.stem: nbformat.read(path, as_version=4) for path in notebooks(root)}
        book = cls(chapters=frozenset(chapters))
        for path in sorted((root / "book").glob("*.md")):
            book.titles[path.stem] = _first_heading(path.read_text())
        for stem, notebook in chapters.items():
            text = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
            book.titles[stem] = _first_heading(text)
            for found in _LABEL.finditer(text):
                book.labels[found["label"]] = (stem, _first_heading(text[found.end() :]))
            for found in _EXERCISE.finditer(text):
                book.labels[_option(found["options"], "label")] = (stem, "an exercise")
            for number, name in enumerate(figure_names(notebook), 1):
                book.figures[name] = (stem, number)
        references = root / "book" / "references.bib"
        for key, entry in _ENTRY.findall(references.read_text() if references.exists() else ""):
            book.cited[key] = (_authors(_AUTHOR.search(entry)[1]), _YEAR.search(entry)[1])
        return book


def figure_names(notebook: nbformat.NotebookNode) -> list[str]:
    """List the names of a notebook's figures, drawn or given in its text, in their order."""
    names = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            names += filter(None, [cell.metadata.get("mystnb", {}).get("figure", {}).get("name")])
        else:
            options = (found["options"] for found in _FIGURE.finditer(cell.source))
            names += [name for one in options if (name := _option(one, "name"))]
    return names


def plain(text: str, book: Book, chapter: str = "") -> str:
    """Write MyST of a chapter as Markdown; exercises get room for an answer and lose their solution.

    Raises
    ------
    ValueError
        If a role names something that the book does not have.
    """
    text = _SOLUTION.sub("", text)
    text = _EXERCISE.sub(lambda found: f"**Exercise.** {found['text'].strip()}\n\n{ANSWER}", text)
    text = _FIGURE.sub(lambda found: _figure(found, book), text)
    text = _TITLED.sub(lambda found: f"**{found['title'].strip()}.** {found['text'].strip()}", text)
    text = _LABEL.sub("", text)
    text = _ROLE.sub(lambda found: _words(found, book, chapter), text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def caption(cell: nbformat.NotebookNode, book: Book, chapter: str) -> str:
    """Write the caption of the figure that a code cell draws, as Markdown; empty where it draws none."""
    about = cell.metadata.get("mystnb", {}).get("figure", {})
    if not about.get("name"):
        return ""
    return f"*Figure {book.figures[about['name']][1]}.* {plain(about.get('caption', ''), book, chapter)}"


def pictures(text: str) -> list[str]:
    """List the paths of the pictures that MyST shows as figures."""
    return [found["path"] for found in _FIGURE.finditer(text)]


def _option(options: str, name: str) -> str:
    found = re.search(rf"^:{name}:[ \t]*(.*)$", options, re.MULTILINE)
    return found[1].strip() if found else ""


def _figure(found: re.Match[str], book: Book) -> str:
    name, alt = (_option(found["options"], key) for key in ("name", "alt"))
    number = f"*Figure {book.figures[name][1]}.* " if name else ""
    return f"![{alt}]({FIGURES}/{quote(Path(found['path']).name)})\n\n{number}{found['text'].strip()}"


def _words(found: re.Match[str], book: Book, chapter: str) -> str:
    role, words, target = found["role"], found["words"], found["target"] or found["words"]
    try:
        if role == "term":
            return words
        if role.startswith("cite"):
            return _cited([book.cited[key.strip()] for key in target.split(",")], role)
        if role == "numref":
            at, number = book.figures[target]
            return f"figure {number}" if at == chapter else f"figure {number} of {_link(at, f'chapter {at[:2]}', book)}"
        if role == "ref":
            at, heading = book.labels[target]
            words = words if found["target"] else heading
            return words if at == chapter else _link(at, words, book)
        stem = Path(target).name
        return _link(stem, words if found["target"] else book.titles[stem], book)
    except KeyError as error:
        raise ValueError(f"{found[0]}: the book has no {error}") from error


def _link(stem: str, words: str, book: Book) -> str:
    return f"[{words}]({quote(stem)}.ipynb)" if stem in book.chapters else words


def _cited(sources: list[tuple[str, str]], role: str) -> str:
    if role == "cite:t":
        return ", ".join(f"{authors} ({year})" for authors, year in sources)
    return f"({', '.join(f'{authors}, {year}' for authors, year in sources)})"


def _authors(names: str) -> str:
    every = [_unbraced(name.split(",")[0]) for name in names.split(" and ")]
    return " and ".join(every) if len(every) < 3 else f"{every[0]} et al."


def _unbraced(name: str) -> str:
    accents = {r"\'": "\u0301", r"\"": "\u0308", r"\`": "\u0300"}
    for sign, accent in accents.items():
        name = re.sub(re.escape(sign) + r"\{?(\w)\}?", lambda found, a=accent: found[1] + a, name)
    return unicodedata.normalize("NFC", name.replace(r"{\l}", "ł").replace("{", "").replace("}", "").strip())


def _first_heading(text: str) -> str:
    found = _HEADING.search(text)
    return found[1] if found else ""
