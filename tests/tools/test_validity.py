"""The checker's errors fail the audit, its remarks do not, and what it needs is said when it is missing."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tools import validity

MESSAGES = [
    {"type": "error", "lastLine": 3, "message": "Duplicate ID “a”."},
    {"type": "info", "lastLine": 1, "message": "Trailing slash on void elements."},
    {"type": "info", "subType": "warning", "lastLine": 2, "message": "Section lacks heading."},
    {"type": "non-document-error", "message": "Cannot read."},
]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Give two pages, one of them a part of the theme's."""
    for name in ("notebooks/01 a.html", "_static/macros.html"):
        (tmp_path / "site" / name).parent.mkdir(parents=True)
        (tmp_path / "site" / name).write_text("<p>")
    return tmp_path / "site"


def stand_in(tmp_path: Path, monkeypatch, script: str) -> Path:
    """Put a program that says what we want in the place of Java, and give a jar for it."""
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\n{script}\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{java.parent}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "vnu.jar").write_text("")
    return tmp_path / "vnu.jar"


def test_errors_count_and_remarks_do_not(site, tmp_path, monkeypatch, capsys):
    url = (site / "notebooks" / "01 a.html").resolve().as_uri()
    said = tmp_path / "said.json"
    said.write_text(json.dumps({"messages": [{"url": url, **one} for one in MESSAGES]}))
    jar = stand_in(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/asked; cat {said}')
    found = validity.errors(site, jar)
    assert [(name, one["message"]) for name, one in found] == [
        ("notebooks/01 a.html", "Duplicate ID “a”."),
        ("notebooks/01 a.html", "Cannot read."),
    ]
    asked = (tmp_path / "asked").read_text()
    assert "01 a.html" in asked
    assert "macros.html" not in asked
    assert validity.main([str(site), "--vnu", str(jar)]) == 1
    assert "notebooks/01 a.html:3: Duplicate ID" in capsys.readouterr().out
    said.write_text('{"messages": []}')
    assert validity.main([str(site), "--vnu", str(jar)]) == 0


def test_checker_that_does_not_run_is_no_clean_bill(site, tmp_path, monkeypatch, capsys):
    jar = stand_in(tmp_path, monkeypatch, "echo UnsupportedClassVersionError >&2; exit 1")
    with pytest.raises(RuntimeError, match="did not run on Java 17 or newer: UnsupportedClassVersionError"):
        validity.errors(site, jar)
    assert validity.main([str(site), "--vnu", str(jar)]) == 2
    assert "did not run" in capsys.readouterr().err


def test_what_is_missing_is_said(site, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="npm pack vnu-jar"):
        validity.errors(site, tmp_path / "none.jar")
    (tmp_path / "vnu.jar").write_text("")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="install Java 17"):
        validity.errors(site, tmp_path / "vnu.jar")
    with pytest.raises(FileNotFoundError, match="was the book built"):
        validity.errors(tmp_path / "bin", tmp_path / "vnu.jar")
