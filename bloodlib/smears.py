"""The one value that everything here passes on: a smear with its labelled cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import overload

import numpy as np


@dataclass(frozen=True, eq=False)
class Smear:
    """Hold one microscope image and which pixel belongs to which cell.

    Parameters
    ----------
    image : uint8 (H, W, 3)
        RGB.
    instances : int32 (H, W)
        0 is background; the cells are numbered 1..n without gaps.
    classes : int (n,), optional
        ``classes[k - 1]`` is the class of instance ``k``; all 0 where none are given.
    name : str
        File name without its ending.
    group : str
        The slide (or appearance group) that the smear comes from; what is split and
        resampled is the group, never the image.
    points : int (k, 3), optional
        Expert annotation where a set has it: column x, row y, class.

    Raises
    ------
    ValueError
        If shapes or types do not fit together.
    """

    image: np.ndarray
    instances: np.ndarray
    classes: np.ndarray | None = None
    name: str = ""
    group: str = ""
    points: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        image, instances = self.image, self.instances
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"smear {self.name!r}: image is {image.dtype} {image.shape}, needed is uint8 (H, W, 3) RGB"
            )
        if instances.dtype != np.int32 or instances.ndim != 2:
            raise ValueError(
                f"smear {self.name!r}: instances are {instances.dtype} {instances.shape}, needed is int32 (H, W)"
            )
        if instances.shape != image.shape[:2]:
            raise ValueError(
                f"smear {self.name!r}: the image is {image.shape[1]}×{image.shape[0]} but its mask is "
                f"{instances.shape[1]}×{instances.shape[0]}; were they resized apart?"
            )
        count = int(instances.max(initial=0))
        present = np.bincount(instances.ravel(), minlength=count + 1)[1:] if instances.min(initial=0) >= 0 else None
        if present is None or (present == 0).any():
            raise ValueError(
                f"smear {self.name!r}: instances must be numbered 1..n without gaps; "
                "use bloodlib.smears.relabel(instances)"
            )
        classes = np.zeros(count, dtype=np.int64) if self.classes is None else np.asarray(self.classes)
        if classes.size and not np.issubdtype(classes.dtype, np.integer):
            raise ValueError(f"smear {self.name!r}: classes are {classes.dtype}; needed are whole numbers")
        object.__setattr__(self, "classes", classes.astype(np.int64, copy=False))
        if len(classes) != count:
            raise ValueError(
                f"smear {self.name!r}: {len(classes)} classes given for {count} instances; one per instance"
            )

    @property
    def count(self) -> int:
        """Number of cells."""
        return len(self.classes)


def relabel(instances: np.ndarray, classes: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Number instances 1..n in the order of their ids, keeping the class of each.

    Parameters
    ----------
    instances : integer (H, W)
        Any non-negative ids.
    classes : int, optional
        One entry per id that occurs, in ascending order of the ids.

    Returns
    -------
    int32 (H, W), classes

    Examples
    --------
    >>> relabel(np.array([[0, 7], [3, 3]]))[0].tolist()
    [[0, 2], [1, 1]]
    """
    ids = np.unique(instances)
    ids = ids[ids > 0]
    lookup = np.zeros(int(instances.max(initial=0)) + 1, dtype=np.int32)
    lookup[ids] = np.arange(1, len(ids) + 1)
    return lookup[instances], classes


RED_CELLS = ("red blood cell",)  # names of classes where a set has one and does not name it


class SmearFolder(Sequence[Smear]):
    """Give the smears of one set by position, each read when it is asked for.

    Parameters
    ----------
    names : sequence of str
    read : callable
        Takes a name, returns its `Smear`.
    groups : sequence of str, optional
        Slide (or appearance group) of each name, known without reading it.
    class_names : sequence of str
        What the entries of ``Smear.classes`` mean.
    title : str
        What error messages and figures call this set.
    files : mapping of str to sequence of Path, optional
        What a smear is read from, the picture first, where that is files which may be corrected.
    rendered : str, optional
        What decides the smears besides their names, where pictures are rendered or masks derived: a change of it is a
        change of theirs, while processors and versions of libraries round the same ones a little differently. What
        follows a comma is their size.

    Notes
    -----
    A slice is a `SmearFolder` again; ``list(folder)`` reads all of it into memory.
    """

    def __init__(
        self,
        names: Sequence[str],
        read: Callable[[str], Smear],
        *,
        groups: Sequence[str] | None = None,
        class_names: Sequence[str] = RED_CELLS,
        title: str = "smears",
        files: Mapping[str, Sequence[Path]] | None = None,
        rendered: str | None = None,
    ) -> None:
        self.names = tuple(names)
        self.groups = tuple(groups) if groups is not None else ("",) * len(self.names)
        self.class_names = tuple(class_names)
        self.title = title
        self.files = files
        self.rendered = rendered
        self._read = read

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Smear: ...
    @overload
    def __getitem__(self, index: slice) -> SmearFolder: ...
    def __getitem__(self, index):
        if isinstance(index, slice):
            return self.select(range(len(self))[index])
        return self._read(self.names[index])

    def __iter__(self) -> Iterator[Smear]:
        return (self._read(name) for name in self.names)

    def __repr__(self) -> str:
        return f"<SmearFolder {self.title}: {len(self)} smears, {len(set(self.groups))} groups>"

    def select(self, positions: Sequence[int]) -> SmearFolder:
        """Keep only the smears at the given positions, in that order."""
        return SmearFolder(
            [self.names[i] for i in positions],
            self._read,
            groups=[self.groups[i] for i in positions],
            class_names=self.class_names,
            title=self.title,
            files=self.files,
            rendered=self.rendered,
        )
