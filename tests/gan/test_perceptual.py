from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import VGG19_Weights, squeezenet1_0, vgg19

from bloodlib.gan.perceptual import SQUEEZENET_FILE, PerceptualLoss, load_perceptual, unit_distance


def test_unit_distance_ignores_length_and_measures_angle():
    a = torch.zeros(1, 4, 2, 2)
    b = torch.zeros(1, 4, 2, 2)
    a[:, 0], b[:, 1] = 100.0, 0.01
    assert unit_distance(a, 7 * a).item() == pytest.approx(0.0, abs=1e-6)
    assert unit_distance(a, b).item() == pytest.approx(2.0)  # a right angle
    assert unit_distance(a, -a).item() == pytest.approx(4.0)


@pytest.mark.parametrize(("kind", "layers"), [("vgg19", 5), ("squeezenet", 7)])
def test_images_reach_the_network_normalised_as_imagenet(kind, layers):
    loss = PerceptualLoss(kind)
    seen = []
    loss.features[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    grey = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 64, 64)
    maps = loss.maps(2 * grey - 1)
    assert seen[0].abs().max() < 1e-6
    assert len(maps) == layers


def test_vgg_compares_relu1_1_to_relu5_1_with_the_published_weights():
    loss = PerceptualLoss("vgg19")
    for layer in loss.features:
        if isinstance(layer, nn.Conv2d):  # the k-th doubles channel 0 and drops the others
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
            layer.weight.data[0, 0, 1, 1] = 2.0
    red = {"painted": 0.6, "real": 0.3}  # the darker one is below ImageNet's mean, so every ReLU makes it 0
    images = [torch.full((1, 3, 32, 32), 2 * value - 1) for value in red.values()]
    difference = (red["painted"] - 0.485) / 0.229
    # VGG-19 has 2, 2, 4, 4, 4 convolutions a block: reluN_1 comes after the 1st, 3rd, 5th, 9th and 13th
    layers = [(1, 64, 1 / 32), (3, 128, 1 / 16), (5, 256, 1 / 8), (9, 512, 1 / 4), (13, 512, 1.0)]
    expected = sum(weight * difference * 2**k / channels for k, channels, weight in layers)
    assert loss(*images).item() == pytest.approx(expected, rel=1e-5)
    assert [m.shape[-1] for m in loss.maps(images[0])] == [32, 16, 8, 4, 2]


def test_the_loss_is_zero_for_equal_images_and_moves_only_the_painted_one():
    torch.manual_seed(0)
    loss = PerceptualLoss("squeezenet")
    real = torch.rand(1, 3, 64, 64, requires_grad=True)
    painted = torch.rand(1, 3, 64, 64, requires_grad=True)
    assert loss(real, real).item() == pytest.approx(0.0, abs=1e-6)
    loss(painted, real).backward()
    assert painted.grad.abs().max() > 0
    assert real.grad is None
    assert all(not p.requires_grad for p in loss.parameters())


def test_auto_takes_squeezenet_from_the_folder_that_holds_it(tmp_path, monkeypatch):
    save_file(squeezenet1_0(weights=None).state_dict(), tmp_path / SQUEEZENET_FILE)
    monkeypatch.setenv("BLOODLIB_WEIGHTS", str(tmp_path))
    loss, used = load_perceptual("auto")
    assert used == loss.kind == "squeezenet"


def test_vgg_s_published_weights_reach_its_layers(monkeypatch):
    torch.manual_seed(0)
    published = vgg19(weights=None).state_dict()
    monkeypatch.setattr(VGG19_Weights, "get_state_dict", lambda *_, **__: published)
    loss, used = load_perceptual("vgg19")
    assert used == loss.kind == "vgg19"
    for name, values in loss.features.state_dict().items():
        torch.testing.assert_close(values, published[f"features.{name}"])


def test_without_any_weights_the_error_says_what_to_do(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise URLError("no network")

    monkeypatch.setenv("BLOODLIB_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(VGG19_Weights, "get_state_dict", offline)
    with pytest.raises(FileNotFoundError, match=r"no network.*BLOODLIB_WEIGHTS.*perceptual='none'"):
        load_perceptual("auto")
    with pytest.raises(FileNotFoundError, match=SQUEEZENET_FILE):
        load_perceptual("squeezenet")
    assert load_perceptual("none") == (None, "none")
