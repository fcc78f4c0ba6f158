"""Pack a built site as one ZIP file with its checksum: python -m tools.archive build/smoke-phantom/html book.zip.

The same site gives the same bytes: names are sorted, all files bear one date and one mode. (Another release of zlib may
compress differently.)
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from pathlib import Path

from bloodlib._files import replacing, sha256

from .layout import require_book

DATE = (1980, 1, 1, 0, 0, 0)  # the first that ZIP knows
MODE = 0o100644


def pack(site: Path, target: Path) -> Path:
    """Write a site into a ZIP file, all within one folder of the archive's name, and ``.sha256`` beside it.

    Parameters
    ----------
    site : Path
        Folder of the HTML.
    target : Path
        The archive.

    Returns
    -------
    Path
        The checksum file, for ``sha256sum --check``.

    Raises
    ------
    FileNotFoundError
        If there is no built book.
    """
    require_book(site)
    files = {path.relative_to(site).as_posix(): path for path in site.rglob("*") if path.is_file()}
    with replacing(target) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{target.stem}/{name}", DATE)
            entry.create_system, entry.external_attr, entry.compress_type = 3, MODE << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name].read_bytes())
    checksum = target.with_name(f"{target.name}.sha256")
    with replacing(checksum) as beside:
        beside.write_text(f"{sha256(target)}  {target.name}\n")
    return checksum


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.archive", description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path, help="folder of the built HTML")
    parser.add_argument("target", type=Path, help="the ZIP file")
    options = parser.parse_args(arguments)
    try:
        checksum = pack(options.site, options.target)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.target}: {options.target.stat().st_size / 1e6:.1f} MB; checksum in {checksum}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
