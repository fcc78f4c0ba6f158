"""The same site gives the same archive, byte for byte, and its checksum is the one that sha256sum reads."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from tools import archive


def lay(top: Path, names: list[str], time_s: int) -> Path:
    """Write a small site, its files in the order given and with one time of change."""
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(f"<p>{name}</p>")
        (top / name).chmod(0o600 if time_s % 2 else 0o644)
        os.utime(top / name, (time_s, time_s))
    return top


def test_order_time_and_mode_of_files_do_not_matter(tmp_path):
    names = ["index.html", "notebooks/01.html", "_static/a.css"]
    one = tmp_path / "one" / "book.zip"
    other = tmp_path / "other" / "book.zip"
    archive.pack(lay(tmp_path / "a", names, 1_000_000_000), one)
    archive.pack(lay(tmp_path / "b", names[::-1], 1_700_000_001), other)
    assert one.read_bytes() == other.read_bytes()
    with zipfile.ZipFile(one) as packed:
        assert packed.namelist() == ["book/_static/a.css", "book/index.html", "book/notebooks/01.html"]
        assert packed.read("book/notebooks/01.html") == b"<p>notebooks/01.html</p>"
        assert {entry.external_attr >> 16 for entry in packed.infolist()} == {0o100644}


def test_checksum_is_of_the_archive_and_follows_the_site(tmp_path):
    site = lay(tmp_path / "site", ["index.html"], 0)
    target = tmp_path / "book.zip"
    checksum = archive.pack(site, target)
    assert checksum.read_text() == f"{hashlib.sha256(target.read_bytes()).hexdigest()}  book.zip\n"
    before = checksum.read_text()
    (site / "index.html").write_text("<p>other</p>")
    assert archive.pack(site, target).read_text() != before


def test_no_book_is_said(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="was the book built"):
        archive.pack(tmp_path, tmp_path / "book.zip")
    assert archive.main([str(tmp_path), str(tmp_path / "book.zip")]) == 2
    assert "no index.html" in capsys.readouterr().err
