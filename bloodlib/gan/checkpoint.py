"""Everything that training needs to go on, in one file of tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .._files import is_vacant, replacing

CHECKPOINT = "checkpoint.safetensors"
_MOMENTS = "optimiser"
_OF_A_TRAINING = ("previews", "tensorboard")  # what is written before the first checkpoint


def write_checkpoint(
    path: Path,
    networks: Mapping[str, nn.Module],
    optimisers: Sequence[torch.optim.Optimizer],
    state: dict[str, Any],
    more: Mapping[str, Tensor] | None = None,
) -> None:
    """Write networks, optimiser moments, `state` and `more` tensors beside `path`, then put the file in its place.

    Notes
    -----
    A process that is killed while it writes leaves the checkpoint before untouched, and a partial
    file beside it, which `clear_partial` takes away.
    """
    tensors = {f"{name}.{key}": x for name, net in networks.items() for key, x in net.state_dict().items()}
    for i, optimiser in enumerate(optimisers):
        for j, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"{_MOMENTS}.{i}.{j}.{key}": x for key, x in moments.items()}
    tensors |= more or {}
    tensors = {key: x.detach().cpu().contiguous() for key, x in tensors.items()}
    with replacing(path) as beside:
        save_file(tensors, beside, metadata={"state": json.dumps(state)})


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Give the tensors and the state that `write_checkpoint` stored.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            state = json.loads(file.metadata()["state"])
            return {key: file.get_tensor(key) for key in file.keys()}, state  # noqa: SIM118
    except Exception as error:  # safetensors raises its own kinds
        raise ValueError(f"{path}: is no checkpoint ({error}); delete it to begin again") from error


def clear_partial(folder: Path) -> None:
    """Remove what a process that was killed while it wrote a checkpoint into `folder` has left."""
    for stale in folder.glob(f".partial-*{Path(CHECKPOINT).suffix}"):
        stale.unlink(missing_ok=True)


def refuse_others(folder: Path) -> None:
    """Refuse, by ValueError, to train in a folder that holds files but no training that was begun."""
    if not (folder / CHECKPOINT).is_file() and not is_vacant(folder, besides=_OF_A_TRAINING):
        raise ValueError(f"{folder}: is not empty and holds no training; train in another folder")


def restore_networks(networks: Mapping[str, nn.Module], tensors: Mapping[str, Tensor]) -> None:
    """Load into each network what is stored under its name."""
    for name, network in networks.items():
        prefix = f"{name}."
        network.load_state_dict({k.removeprefix(prefix): x for k, x in tensors.items() if k.startswith(prefix)})


def moments_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pick the optimisers' moments out of a checkpoint."""
    return {key: x for key, x in tensors.items() if key.startswith(f"{_MOMENTS}.")}


def restore_moments(optimisers: Sequence[torch.optim.Optimizer], moments: Mapping[str, Tensor]) -> None:
    """Give the optimisers back what the checkpoint held of them, laid out in memory as their weights are.

    The fused kernel walks weights and moments side by side and does not look at their strides. Nothing that is kept
    points into the file that was read: Windows replaces none that is mapped.
    """
    for i, optimiser in enumerate(optimisers):
        weights = optimiser.param_groups[0]["params"]
        found: dict[int, dict[str, Tensor]] = {}
        for key, x in moments.items():
            _, which, index, name = key.split(".")
            if int(which) == i:
                weight = weights[int(index)]
                laid = torch.empty_like(weight).copy_(x) if x.shape == weight.shape else x.clone()
                found.setdefault(int(index), {})[name] = laid.detach()
        if found:
            optimiser.load_state_dict({**optimiser.state_dict(), "state": found})
