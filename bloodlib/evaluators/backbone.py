"""A detector's backbone that has seen cells before: trained on the phantom, the same for every arm."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from .._files import alone_in, in_turn, replacing
from .arms import Samples, plan
from .config import EvaluatorConfig, backbone_name, trained_on_phantom

SEED = 0
PREFIX = "backbone."


def phantom_backbone(config: EvaluatorConfig, artifacts: str | Path, progress: bool = False) -> Path:
    """Find or train the backbone that detectors of a configuration start from.

    Parameters
    ----------
    config : EvaluatorConfig
        Of Faster R-CNN; with the same network, sizes and learning rate a detector is trained on the fit
        part of the phantom for ``start_steps`` steps, from random weights.
    artifacts : path
        Where it is kept, under a name that changes with the configuration; while another process trains it there,
        this one waits.
    progress : bool

    Returns
    -------
    Path
        Of a safetensors file with the ResNet's and the pyramid's weights.

    Notes
    -----
    Bailo et al. 2019 start from Visual Genome, which a machine without internet does not have. The
    phantom is rendered, so no real smear reaches an arm this way. Book: chapter 09.
    """
    from ..datasets import load
    from .training import train

    alone = trained_on_phantom(config)
    path = Path(artifacts) / backbone_name(config)

    def make() -> None:
        with alone_in(path.with_suffix("")):
            if path.is_file():
                return
            fit = load("phantom", split="fit")
            evaluator = train(Samples(plan("RD", len(fit)), fit, (), SEED), alone, SEED, progress=progress)
            state = evaluator.model.state_dict()
            kept = {name: x.contiguous().cpu() for name, x in state.items() if name.startswith(PREFIX)}
            with replacing(path) as beside:
                save_file(kept, beside)

    if not path.is_file():
        in_turn(make)  # two runs that train it at once would not begin with the same one
    return path


def load_backbone(model: nn.Module, path: str | Path) -> None:
    """Give a detector the backbone in a file.

    Raises
    ------
    ValueError
        If the file is of another network.
    """
    given = load_file(path)
    needed = {name: x.shape for name, x in model.state_dict().items() if name.startswith(PREFIX)}
    if needed != {name: x.shape for name, x in given.items()}:
        raise ValueError(f"{path}: holds another backbone than this detector's; remove it to have it trained again")
    with torch.no_grad():
        model.load_state_dict(given, strict=False)
