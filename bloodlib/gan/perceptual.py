"""The perceptual loss: distance between features of a network trained on ImageNet."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SQUEEZENET_FILE = "squeezenet1_0.safetensors"
_VGG_LAYERS = {1: 1 / 32, 6: 1 / 16, 11: 1 / 8, 20: 1 / 4, 29: 1.0}  # relu1_1 … relu5_1 and their weights
_SQUEEZE_LAYERS = (1, 4, 7, 9, 10, 11, 12)  # where LPIPS cuts SqueezeNet 1.1; of 1.0, 11 is a pooling of 10


class PerceptualLoss(nn.Module):
    """Compare two images by the features of a fixed network.

    Parameters
    ----------
    kind : {"vgg19", "squeezenet"}
    weights : dict of str to Tensor, optional
        State of the network's `features`; None leaves them as drawn (for tests).

    Notes
    -----
    ``"vgg19"``: Σ w_i · L1 over relu1_1 … relu5_1, w = 1/32, 1/16, 1/8, 1/4, 1 (pix2pixHD).
    ``"squeezenet"`` (ours, for machines without internet): mean over seven layers of the squared
    distance between unit vectors along the channels (LPIPS without its learned weights); raw, they
    would drown the other losses. Both see ImageNet-normalised images, which pix2pixHD's does not.
    """

    def __init__(self, kind: str, weights: dict[str, Tensor] | None = None) -> None:
        super().__init__()
        from torchvision.models import squeezenet1_0, vgg

        self.kind = kind
        layers = vgg.make_layers(vgg.cfgs["E"]) if kind == "vgg19" else squeezenet1_0(weights=None).features
        self.features = layers[: max(_VGG_LAYERS if kind == "vgg19" else _SQUEEZE_LAYERS) + 1]
        if weights is not None:
            self.features.load_state_dict({k: weights[k] for k in self.features.state_dict()})
        self.requires_grad_(False)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def maps(self, image: Tensor) -> list[Tensor]:
        """Give the compared layers' outputs for images (N, 3, H, W) in [-1, 1]."""
        x = ((image + 1) / 2 - self.mean) / self.std
        keep = _VGG_LAYERS if self.kind == "vgg19" else _SQUEEZE_LAYERS
        results = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in keep:
                results.append(x)
        return results

    def forward(self, painted: Tensor, real: Tensor) -> Tensor:
        with torch.no_grad():
            targets = self.maps(real)
        pairs = list(zip(self.maps(painted), targets, strict=True))
        if self.kind == "vgg19":
            return sum(
                w * F.l1_loss(a.float(), b.float()) for w, (a, b) in zip(_VGG_LAYERS.values(), pairs, strict=True)
            )
        return sum(unit_distance(a.float(), b.float()) for a, b in pairs) / len(pairs)


def unit_distance(a: Tensor, b: Tensor) -> Tensor:
    """Give the mean over pixels of |a/‖a‖ − b/‖b‖|², lengths taken along the channels; it lies in [0, 4]."""
    return (F.normalize(a, dim=1, eps=1e-6) - F.normalize(b, dim=1, eps=1e-6)).square().sum(dim=1).mean()


def local_squeezenet() -> Path | None:
    """Find SqueezeNet's weights in the folder that BLOODLIB_WEIGHTS names."""
    folder = os.environ.get("BLOODLIB_WEIGHTS")
    path = Path(folder) / SQUEEZENET_FILE if folder else None
    return path if path and path.is_file() else None


def load_perceptual(kind: str) -> tuple[PerceptualLoss | None, str]:
    """Give the perceptual loss asked for and the name of the network it really uses.

    Parameters
    ----------
    kind : {"vgg19", "squeezenet", "auto", "none"}
        ``"vgg19"`` is downloaded by torchvision; ``"squeezenet"`` is read from the folder named by
        BLOODLIB_WEIGHTS; ``"auto"`` takes SqueezeNet if it lies there and VGG-19 otherwise;
        ``"none"`` leaves the loss out.

    Raises
    ------
    FileNotFoundError
        If the weights cannot be had, saying how to get them.
    """
    if kind == "none":
        return None, "none"
    local = local_squeezenet()
    if kind == "squeezenet" or (kind == "auto" and local):
        if local is None:
            raise FileNotFoundError(
                f"perceptual='squeezenet' needs {SQUEEZENET_FILE}, but BLOODLIB_WEIGHTS is "
                f"{os.environ.get('BLOODLIB_WEIGHTS')!r}; set it to the folder that holds this file"
            )
        from safetensors.torch import load_file

        state = load_file(local)
        prefix = "features."
        loss = PerceptualLoss("squeezenet", {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})
        return loss.eval(), "squeezenet"
    from torchvision.models import VGG19_Weights

    try:
        state = VGG19_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"perceptual={kind!r} needs VGG-19's weights, which torchvision could not download ({error}); "
            f"without internet, set BLOODLIB_WEIGHTS to a folder with {SQUEEZENET_FILE} and use perceptual='auto', "
            "or leave the loss out with perceptual='none'"
        ) from error
    prefix = "features."
    loss = PerceptualLoss("vgg19", {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})
    return loss.eval(), "vgg19"
