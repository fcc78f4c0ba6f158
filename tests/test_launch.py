"""Launch buttons open the notebook of their page, and on Colab a notebook sets itself up with a pinned release."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import types
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

from tools import build, stage
from tools.layout import ROOT, Build, notebooks

NOTEBOOKS = notebooks(ROOT)
REPOSITORY, BRANCH = "https://github.com/someone/smears", "published"
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def tracked() -> set[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so nobody knows what a repository would hold")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(listed.stdout.splitlines())


def opened(url: str) -> tuple[str, str, str]:
    """Give which repository, branch and file a button's address opens."""
    parts = urlsplit(url)
    match parts.netloc, parts.path.strip("/").split("/"):
        case "mybinder.org", ["v2", "gh", owner, name, branch]:
            folder = parse_qs(parts.query)["urlpath"][0]
            assert folder.startswith("lab/tree/")
            return f"https://github.com/{owner}/{name}", branch, folder.removeprefix("lab/tree/")
        case "colab.research.google.com", ["github", owner, name, "blob", branch, *file]:
            return f"https://github.com/{owner}/{name}", branch, "/".join(file)
        case "github.com", [owner, name, ("blob" | "edit"), branch, *file]:
            return f"https://github.com/{owner}/{name}", branch, "/".join(file)
    raise ValueError(f"{url}: opens no file")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build a book of this one's settings and contents whose chapters are empty but for their titles."""
    root = tmp_path_factory.mktemp("launch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REPOSITORY_URL", REPOSITORY)
        patch.setenv("REPOSITORY_BRANCH", BRANCH)
        made = Build("smoke", "phantom", root=root)
        (made.site / "notebooks").mkdir(parents=True)
        (root / "data").mkdir()
        shutil.copy(ROOT / "data" / "quoted.yml", root / "data")
        for folder in ("_static", "_extensions"):
            shutil.copytree(ROOT / "book" / folder, made.site / "book" / folder)
        shutil.copy(ROOT / "book" / "references.bib", made.site / "book")
        (made.site / "book" / "index.md").write_text("# A book\n")
        for path in NOTEBOOKS:
            title = nbformat.v4.new_markdown_cell(f"# {path.stem}")
            kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
            nbformat.write(
                nbformat.v4.new_notebook(cells=[title], metadata=kernel), made.site / "notebooks" / path.name
            )
        toc = {"format": "jb-book", "root": "book/index"}
        toc["chapters"] = [{"file": f"notebooks/{path.stem}"} for path in NOTEBOOKS]
        (made.site / "_toc.yml").write_text(yaml.safe_dump(toc))
        config = stage.configured(yaml.safe_load((ROOT / "_config.yml").read_text()), made)
        (made.site / "_config.yml").write_text(yaml.safe_dump(config, allow_unicode=True))
        assert build.build_html(made) == 0
    return made.html


@every_notebook
def test_every_button_opens_the_notebook_of_its_page(site, path):
    soup = BeautifulSoup((site / "notebooks" / f"{path.stem}.html").read_text(), "html.parser")
    urls = {
        link["href"] for link in soup.select("article ~ a, header a, .article-header-buttons a") if link.get("href")
    }
    hosts = {"mybinder.org", "colab.research.google.com"}
    launched = [url for url in urls if urlsplit(url).netloc in hosts]
    assert {urlsplit(url).netloc for url in launched} == hosts
    for url in launched:
        repository, branch, file = opened(url)
        assert (repository, branch) == (REPOSITORY, BRANCH)
        assert file == f"notebooks/{path.name}"
        assert file in tracked()


@pytest.mark.parametrize(
    "url", ["https://mybinder.org/v2/gh/a/b/main?urlpath=tree/x.ipynb", "https://github.com/a/b", "https://x.org/a"]
)
def test_address_that_opens_no_file_is_noticed(url):
    with pytest.raises((ValueError, AssertionError)):
        opened(url)


def colab_cell(path: Path) -> nbformat.NotebookNode:
    return next(cell for cell in nbformat.read(path, as_version=4).cells if cell.id == "colab")


def run_on(cell: nbformat.NotebookNode, monkeypatch, *, colab: bool) -> list[str]:
    """Run the cell with a shell that only writes down what it is asked for."""
    asked: list[str] = []
    shell = types.SimpleNamespace(run_line_magic=lambda name, line: asked.append(f"%{name} {line}"))
    if colab:
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    exec(compile(cell.source, "colab", "exec"), {"get_ipython": lambda: shell})
    return asked


def test_all_notebooks_have_the_same_cell_hidden_on_the_page_and_first_to_run():
    cells = [colab_cell(path) for path in NOTEBOOKS]
    assert len({cell.source for cell in cells}) == 1
    for path, cell in zip(NOTEBOOKS, cells, strict=True):
        assert cell.metadata["tags"] == ["remove-cell"]
        assert next(c.id for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code") == "colab"


def test_nothing_is_installed_elsewhere(monkeypatch):
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    assert run_on(colab_cell(NOTEBOOKS[0]), monkeypatch, colab=False) == []


def test_colab_keeps_its_torch_and_gets_this_release(monkeypatch):
    release, others = run_on(colab_cell(NOTEBOOKS[0]), monkeypatch, colab=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert release == f"%pip install --quiet --no-deps bloodlib=={project['version']}"
    installed = set(re.findall(r"'([^']+)'", others))
    names = {re.split(r"[<>=]", need)[0] for need in installed}
    assert not names & {"torch", "torchvision"}
    needed = {re.split(r"[<>=]", need)[0] for need in project["dependencies"]} - {"torch", "torchvision"}
    assert names == needed
    for need in installed:
        name = re.split(r"[<>=]", need)[0]
        asked = next(one for one in project["dependencies"] if re.split(r"[<>=]", one)[0] == name)
        assert set(need.removeprefix(name).split(",")) == set(asked.removeprefix(name).split(","))
