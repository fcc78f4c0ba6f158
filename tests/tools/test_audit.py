"""The audit reports what axe says of each view, and what axe does not look for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import audit, browser

pytestmark = pytest.mark.skipif(browser.find() is None, reason="no Chromium is installed: pages cannot be opened")

AXE = """globalThis.axe = {run: async () => ({violations: [...document.querySelectorAll("img:not([alt])")].map((e) =>
    ({id: "image-alt", impact: "critical", help: "Images must have alt text", nodes: [{target: ["img"]}]}))})}"""
PAGE = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>A</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1"></head><body>{}</body></html>'
)
NOWHERE = "http://127.0.0.1:9/a.js"  # nobody answers at the port of discarded data


@pytest.fixture
def found(tmp_path: Path):
    """Give a function that audits a page of such a body: what is wrong, once for each view."""

    def found(body: str) -> list[tuple[str, str]]:
        (tmp_path / "axe.min.js").write_text(AXE)
        site = tmp_path / "site"
        site.mkdir(exist_ok=True)
        (site / "a.html").write_text(PAGE.format(body))
        return [(view, one["id"]) for _, view, one in audit.audit(site, tmp_path / "axe.min.js")]

    return found


def test_page_without_fault_gives_nothing(found):
    assert found("<p>Cells.</p><script>console.warn('only a warning')</script>") == []


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ('<img src="data:,">', ["image-alt"]),
        ("<script>console.error('no cells')</script>", ["error on the console"]),
        ("<script>throw new Error('no cells')</script>", ["error on the console"]),
        (f'<script src="{NOWHERE}"></script>', ["error on the console", "request to another machine"]),
        ('<div style="width: 2000px">wide</div>', ["wider than the window"]),
    ],
)
def test_every_kind_of_fault_is_found_in_every_view(found, body, faults):
    assert found(body) == [(view, fault) for view in audit.VIEWS for fault in faults]


def test_faults_fail_the_command(tmp_path, capsys):
    (tmp_path / "axe.min.js").write_text(AXE)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "a.html").write_text(PAGE.format("<script>console.error('no cells')</script>"))
    given = [str(tmp_path / "site"), "--axe", str(tmp_path / "axe.min.js")]
    assert audit.main(given) == 1
    assert "serious: a.html (phone, dark): error on the console,  [1×: no cells]" in capsys.readouterr().out
    (tmp_path / "site" / "a.html").write_text(PAGE.format("<p>Cells.</p>"))
    assert audit.main(given) == 0
