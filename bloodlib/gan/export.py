"""The painter as an ONNX file, for programs without torch."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .._files import replacing
from .networks import STRIDE, GlobalGenerator

TOLERANCE = 1e-3  # of the range [-1, 1]: an eighth of a grey level
_EXAMPLE = (4 * STRIDE, 6 * STRIDE)  # size that is traced; any other works


def inputs_of(generator: GlobalGenerator, shape: tuple[int, int], seed: int = 0) -> dict[str, Tensor]:
    """Make random inputs of a generator, with the names that they have in the ONNX file.

    Returns
    -------
    dict of str to float32 (1, K, H, W)
        ``planes`` 0 or 1, one per semantic class (background, cells, then incidental objects where the painter
        knows them) and last the outlines (`label_planes`); ``features`` in [-1, 1], the style of each pixel's
        instance; ``noise`` standard normal, K = 1, where the generator has noise.
    """
    draw = torch.Generator().manual_seed(seed)
    height, width = shape
    classes = torch.randint(generator.labels, (1, height, width), generator=draw)
    edge = torch.rand(1, height, width, generator=draw) < 0.1
    planes = torch.stack([*(classes == k for k in range(generator.labels)), edge], dim=1).float()  # (1, K, H, W)
    channels = generator.trunk.down[0][1].in_channels - generator.labels - 1
    given = {"planes": planes, "features": 2 * torch.rand(1, channels, height, width, generator=draw) - 1}
    return given | ({"noise": torch.randn(1, 1, height, width, generator=draw)} if generator.noise else {})


def export_generator(
    generator: GlobalGenerator, path: str | os.PathLike[str], about: Mapping[str, str] | None = None
) -> Path:
    """Write a generator as one ONNX file.

    Parameters
    ----------
    generator : GlobalGenerator
        On the CPU, in evaluation mode.
    path : path
    about : mapping of str to str, optional
        Kept in the file as metadata, beside ``sides_multiple_of``.

    Returns
    -------
    Path

    Raises
    ------
    ImportError
        If onnx or onnxscript is missing.

    Notes
    -----
    Inputs as in `inputs_of`; batch 1; height and width free, but multiples of 16. Output ``image``, float32
    (1, 3, H, W) in [-1, 1], RGB: grey level (x + 1) · 127.5. Book: the model card has a painting without torch.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f"{error.name} is missing: pip install 'bloodlib[export]'") from error
    given = inputs_of(generator, _EXAMPLE)
    sides = {2: STRIDE * torch.export.Dim("h", min=2, max=1024), 3: STRIDE * torch.export.Dim("w", min=2, max=1024)}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # about names of axes, and of torch about itself
        program = torch.onnx.export(
            generator,
            tuple(given.values()),
            input_names=list(given),
            output_names=["image"],
            dynamic_shapes=tuple(sides for _ in given),
            dynamo=True,
            verbose=False,
        )
    program.model.metadata_props.update({"sides_multiple_of": str(STRIDE), **(about or {})})
    with replacing(path) as beside:
        program.save(str(beside), external_data=False)
    return Path(path)


def largest_difference(
    generator: GlobalGenerator, path: str | os.PathLike[str], shape: tuple[int, int] = (160, 240), seed: int = 0
) -> float:
    """Paint the same inputs with torch and with onnxruntime; give the largest difference, of the range [-1, 1].

    Raises
    ------
    ImportError
        If onnxruntime is missing.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError("onnxruntime is missing: pip install 'bloodlib[export]'") from error
    given = inputs_of(generator, shape, seed)
    session = onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    (image,) = session.run(["image"], {name: x.numpy() for name, x in given.items()})
    with torch.no_grad():
        expected = generator(*given.values()).numpy()
    return float(np.abs(image - expected).max())
