"""Fixed splits by appearance group; ``python -m bloodlib.datasets.splits`` makes Chula's again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, groupby

import numpy as np

TEST_SHARE = 0.4  # the paper's: 40 of 100 images
VALIDATION = (10, 11, 12)  # ours: smallest, wanted and largest number of validation images

# First and last file number of each appearance group of Chula RBC-12. No slide ids are published: the borders come
# from gaps in the file numbers and from jumps of background and cell colour. In doubt groups were left together
# (297–327 drifts in colour, 333 is less blue than 328–331), for a field that was photographed twice
# (251/252, 262/263, 268/274, 271/277, 272/278, and parts of 94/95) must not be in two parts.
CHULA_GROUPS = (
    (94, 106), (141, 141), (198, 199), (222, 222), (239, 239), (245, 252), (253, 258),
    (259, 265), (267, 278), (279, 285), (297, 327), (328, 333), (385, 389), (729, 729),
)  # fmt: skip


def chula_group(name: str) -> str:
    """Name the appearance group of a Chula file number.

    Examples
    --------
    >>> chula_group("99"), chula_group("222")
    ('94-106', '222')
    """
    for first, last in CHULA_GROUPS:
        if name.isdigit() and first <= int(name) <= last:
            return str(first) if first == last else f"{first}-{last}"
    raise ValueError(f"{name!r} is in no appearance group of Chula RBC-12; look at it and add one")


def stain_family(absorbance: np.ndarray) -> str:
    """Sort a typical cell's absorbance in red, green and blue (3,) into a stain family.

    Notes
    -----
    The thresholds are ours, set in gaps between the fourteen groups of Chula RBC-12.

    Examples
    --------
    >>> stain_family([0.22, 0.50, 0.32]), stain_family([0.03, 0.20, 0.11])
    ('violet', 'pale')
    """
    red, green, blue = absorbance
    if blue > 0.7 * green:
        return "grey"
    if red > 0.415 * green:
        return "violet"
    return "pale" if green < 0.25 else "rose"


def choose_parts(sizes: Mapping[str, int], families: Mapping[str, str]) -> dict[str, list[str]]:
    """Divide whole groups into fit, validation and test, the same way every time.

    Parameters
    ----------
    sizes : mapping
        Group -> number of images.
    families : mapping
        Group -> stain family.

    Returns
    -------
    dict
        "fit", "validation", "test" -> groups, in the order of `sizes`.

    Raises
    ------
    ValueError
        If no division keeps the rule.

    Notes
    -----
    Of all sets of groups with at least one group of every family, the test parts wanted are those nearest to 40 % of
    the images and, among equals, with every family nearest to 40 % of its own. From the rest, validation takes
    10–12 images of at least two families, as near to 11 as possible, such that every family and more than half of the
    groups stay in fit; among equals fit's families are nearest to their share in the whole. What still is equal goes by
    the number and order of the groups.
    """
    groups, every = list(sizes), sorted(set(families.values()))
    total = sum(sizes.values())
    whole = _by_family(groups, sizes, families, every)

    def tested(test: tuple[str, ...]) -> tuple[float, float]:
        count = _by_family(test, sizes, families, every)
        return round(abs(count.sum() - TEST_SHARE * total), 6), round(np.abs(count - TEST_SHARE * whole).sum(), 6)

    candidates = [test for test in _subsets(groups) if {families[group] for group in test} == set(every)]
    for _, equals in groupby(sorted(candidates, key=tested), key=tested):
        found = []
        for test in equals:
            training = [group for group in groups if group not in test]
            for validation in _subsets(training):
                images = sum(sizes[group] for group in validation)
                if not VALIDATION[0] <= images <= VALIDATION[2] or len({families[group] for group in validation}) < 2:
                    continue
                fit = [group for group in training if group not in validation]
                count = _by_family(fit, sizes, families, every)
                if (count == 0).any() or 2 * len(fit) <= len(training):
                    continue
                imbalance = round(float(np.abs(count / count.sum() - whole / total).sum()), 6)
                parts = {"fit": fit, "validation": list(validation), "test": list(test)}
                found.append((abs(images - VALIDATION[1]), imbalance, len(found), parts))
        if found:
            return min(found)[-1]
    raise ValueError(
        f"{total} images in {len(groups)} groups of {len(every)} families cannot be divided by the rule; "
        "needed are several groups per family and 10–12 images for validation"
    )


def _subsets(groups: list[str]) -> list[tuple[str, ...]]:
    return [chosen for length in range(1, len(groups)) for chosen in combinations(groups, length)]


def _by_family(
    groups: Sequence[str], sizes: Mapping[str, int], families: Mapping[str, str], every: list[str]
) -> np.ndarray:
    return np.array([sum(sizes[g] for g in groups if families[g] == family) for family in every])


def chula_split(absorbances: Mapping[str, np.ndarray]) -> dict:
    """Build the content of data/splits/chula_rbc12.json.

    Parameters
    ----------
    absorbances : mapping
        Name of each smear -> absorbance of its typical cell (3,), as of `bloodlib.derive.typical_absorbance`.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(absorbances, key=int):
        groups.setdefault(chula_group(name), []).append(name)
    typical = {group: np.median([absorbances[name] for name in names], axis=0) for group, names in groups.items()}
    families = {group: stain_family(absorbance) for group, absorbance in typical.items()}
    sizes = {group: len(names) for group, names in groups.items()}
    parts = choose_parts(sizes, families)
    return {
        "note": (
            "Whole appearance groups; rule in bloodlib/datasets/splits.py, choose_parts. "
            "No slide ids are published for this set. Made by: python -m bloodlib.datasets.splits"
        ),
        **{part: [name for group in chosen for name in groups[group]] for part, chosen in parts.items()},
        "parts": parts,
        "sizes": sizes,
        "groups": groups,
        "stain_families": {
            family: [group for group in groups if families[group] == family]
            for family in sorted(set(families.values()))
        },
        "absorbance": {group: [round(float(value), 3) for value in typical[group]] for group in groups},
    }


def main() -> None:
    """Write the split from the images in the cache."""
    from .._files import package_data, write_json
    from ..derive import typical_absorbance
    from ..io import read_image
    from .registry import fetch

    folder = fetch("chula_rbc12") / "Dataset"
    split = chula_split({path.stem: typical_absorbance(read_image(path)) for path in sorted(folder.glob("*.jpg"))})
    path = package_data("splits", "chula_rbc12.json")
    write_json(path, split, indent=1)
    for part in ("fit", "validation", "test"):
        print(f"{part}: {len(split[part])} images, groups {', '.join(split['parts'][part])}")


if __name__ == "__main__":
    main()
