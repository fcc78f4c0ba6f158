import itertools

import pytest
import torch
from torch import nn

from bloodlib.gan.config import PRESETS, preset
from bloodlib.gan.layers import softened
from bloodlib.gan.networks import (
    Encoder,
    GlobalGenerator,
    MultiscaleDiscriminator,
    label_planes,
    make_discriminator,
    make_painter,
    pad_sides,
)


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts_are_those_of_the_reference_at_16_filters():
    # Summed by hand from the published layers: kernel² · in · out + out per convolution.
    widths = [16, 32, 64, 128, 256]
    steps = [9 * a * b for a, b in itertools.pairwise(widths)]
    halves = sum(s + b for s, b in zip(steps, widths[1:], strict=True))
    doubles = sum(s + b for s, b in zip(steps, widths[:-1], strict=True))
    blocks = 9 * 2 * (9 * 256 * 256 + 256)
    generator = 49 * 6 * 16 + 16 + halves + blocks + doubles + 49 * 16 * 3 + 3
    encoder = 49 * 3 * 16 + 16 + halves + doubles + 49 * 16 * 3 + 3
    ladder = [6, 16, 32, 64, 128, 1]
    discriminator = 2 * sum(16 * a * b + b for a, b in itertools.pairwise(ladder))
    assert parameters(GlobalGenerator(16, 9)) == generator == pytest.approx(11.4e6, rel=0.005)
    assert parameters(Encoder(16)) == encoder == pytest.approx(0.79e6, rel=0.005)
    assert parameters(MultiscaleDiscriminator(16)) == discriminator == pytest.approx(0.35e6, rel=0.01)


def test_resizing_has_as_many_parameters_as_transposed_convolution():
    assert parameters(GlobalGenerator(4, 1, upsample="resize")) == parameters(GlobalGenerator(4, 1))


@pytest.mark.parametrize("upsample", ["transposed", "resize"])
@pytest.mark.parametrize("skip", [False, True])
def test_generator_and_encoder_keep_the_size_and_stay_in_range(upsample, skip):
    image = torch.randn(2, 3, 48, 64)
    painted = GlobalGenerator(2, 1, 3, upsample, skip)(image, torch.zeros(2, 3, 48, 64))
    features = Encoder(2, 5, upsample, "none")(image)
    assert painted.shape == (2, 3, 48, 64)
    assert features.shape == (2, 5, 48, 64)
    assert painted.abs().max() <= 1
    assert features.abs().max() <= 1


def test_discriminators_give_five_maps_at_two_scales():
    maps = MultiscaleDiscriminator(2)(torch.zeros(1, 3, 256, 256), torch.zeros(1, 3, 256, 256))
    assert [[m.shape[-1] for m in scale] for scale in maps] == [[129, 65, 33, 34, 35], [65, 33, 17, 18, 19]]
    assert [m.shape[1] for m in maps[0]] == [2, 4, 8, 16, 1]


class Residual(nn.Module):
    """The published block, of torch's own layers."""

    def __init__(self, width):
        super().__init__()
        half = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]
        again = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width)]
        self.body = nn.Sequential(*half, nn.ReLU(), *again)

    def forward(self, x):
        return x + self.body(x)


def published_hourglass(inputs, filters, blocks, outputs):
    """G (with blocks) and E (without), of torch's own layers."""
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, filters, 7), nn.InstanceNorm2d(filters), nn.ReLU()]
    for wide in (filters, 2 * filters, 4 * filters, 8 * filters):
        layers += [nn.Conv2d(wide, 2 * wide, 3, stride=2, padding=1), nn.InstanceNorm2d(2 * wide), nn.ReLU()]
    layers += [Residual(16 * filters) for _ in range(blocks)]
    for wide in (8 * filters, 4 * filters, 2 * filters, filters):
        doubling = nn.ConvTranspose2d(2 * wide, wide, 3, stride=2, padding=1, output_padding=1)
        layers += [doubling, nn.InstanceNorm2d(wide), nn.ReLU()]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(filters, outputs, 7), nn.Tanh())


class PublishedDiscriminators(nn.Module):
    """D1 and D2, of torch's own layers."""

    def __init__(self, inputs, filters):
        super().__init__()
        self.scales = nn.ModuleList(self.ladder(inputs, filters) for _ in range(2))
        self.shrink = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)

    def ladder(self, inputs, filters):
        def judge(a, b, stride):
            return nn.Conv2d(a, b, 4, stride=stride, padding=2)

        return nn.ModuleList(
            [
                nn.Sequential(judge(inputs, filters, 2), nn.LeakyReLU(0.2)),
                nn.Sequential(judge(filters, 2 * filters, 2), nn.InstanceNorm2d(2 * filters), nn.LeakyReLU(0.2)),
                nn.Sequential(judge(2 * filters, 4 * filters, 2), nn.InstanceNorm2d(4 * filters), nn.LeakyReLU(0.2)),
                nn.Sequential(judge(4 * filters, 8 * filters, 1), nn.InstanceNorm2d(8 * filters), nn.LeakyReLU(0.2)),
                judge(8 * filters, 1, 1),
            ]
        )

    def forward(self, planes, image):
        x, judged = torch.cat([planes, image], dim=1), []
        for ladder, seen in zip(self.scales, (x, self.shrink(x)), strict=True):
            maps = [seen]
            for layer in ladder:
                maps.append(layer(maps[-1]))
            judged.append(maps[1:])
        return judged


def paper_networks():
    """G, E and D of the paper preset, with biases that are not 0."""
    torch.manual_seed(0)
    networks = [*make_painter(PRESETS["paper"]), make_discriminator(PRESETS["paper"])]
    for network in networks:
        for name, values in network.named_parameters():
            if name.endswith("bias"):
                nn.init.normal_(values, 0.0, 0.1)
    return networks


def with_weights_of(network, literal):
    """Copy the weights over in their order: published and ours then have the same layers in the same order."""
    copied = zip(literal.state_dict(), network.state_dict().values(), strict=True)
    literal.load_state_dict(dict(copied))
    return literal


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_paper_presets_generator_and_encoder_are_the_published_layers():
    generator, encoder, _ = paper_networks()
    planes, features, image = torch.rand(2, 3, 48, 80), torch.rand(2, 3, 48, 80), torch.rand(2, 3, 48, 80) * 2 - 1
    published = with_weights_of(generator, published_hourglass(6, 16, 9, 3))
    close(generator(planes, features), published(torch.cat([planes, features], dim=1)))
    close(encoder(image), with_weights_of(encoder, published_hourglass(3, 16, 0, 3))(image))


@torch.no_grad()
def test_the_paper_presets_discriminators_are_the_published_layers():
    *_, discriminator = paper_networks()
    planes, image = torch.rand(2, 3, 49, 78), torch.rand(2, 3, 49, 78) * 2 - 1
    published = with_weights_of(discriminator, PublishedDiscriminators(6, 16))
    ours, theirs = discriminator(planes, image), published(planes, image)
    assert len(ours) == len(theirs) == 2
    for scale, expected in zip(ours, theirs, strict=True):
        assert len(scale) == len(expected) == 5
        for one, other in zip(scale, expected, strict=True):
            close(one, other)


def test_all_convolutions_of_the_paper_preset_begin_with_a_deviation_of_0_02():
    torch.manual_seed(0)
    for network in (*make_painter(PRESETS["paper"]), make_discriminator(PRESETS["paper"])):
        for values in (p for name, p in network.named_parameters() if name.endswith("weight")):
            n = values.numel()  # the deviation of n values is itself known to 1/√(2n): 5 σ
            assert values.std().item() == pytest.approx(0.02, rel=5 / (2 * n) ** 0.5)
            assert abs(values.mean().item()) < 5 * 0.02 / n**0.5


# Along one axis: kernel, stride and padding of each layer; "t" is a doubling by transposed convolution.
FIRST, HALF, CONV, DOUBLE = (7, 1, 3), (3, 2, 1), (3, 1, 1), "t"
HOURGLASS = [FIRST, *[HALF] * 4], [*[DOUBLE] * 4, FIRST]
LADDER = [*[(4, 2, 2)] * 3, *[(4, 1, 2)] * 2]
FIELDS = {
    "G": [*HOURGLASS[0], *[CONV] * 18, *HOURGLASS[1]],
    "E": [*HOURGLASS[0], *HOURGLASS[1]],
    "D1": LADDER,
    "D2": [HALF, *LADDER],
}


def field(layers, position):
    """First and last input that the output at a position depends on, worked back from layer to layer."""
    low = high = position
    for layer in reversed(layers):
        if layer == DOUBLE:  # output o takes from the inputs i with o = 2i - 1 + t, t = 0, 1, 2
            low, high = low // 2, (high + 1) // 2
        else:
            kernel, stride, padding = layer
            low, high = low * stride - padding, high * stride - padding + kernel - 1
    return low, high


def without_norms(network):
    """Take out what mixes the whole map into every pixel, and let every weight count, so that nothing cancels."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.InstanceNorm2d):
                setattr(module, name, nn.Identity())
    for values in network.parameters():
        nn.init.constant_(values, values.shape[1] ** -1 / values[0, 0].numel() if values.dim() > 1 else 0.0)
    return network.double()


def output_of(name, x):
    paper = PRESETS["paper"]
    if name == "G":
        return without_norms(GlobalGenerator(1, paper.blocks))(x, x)
    if name == "E":
        return without_norms(Encoder(1))(x)
    return without_norms(MultiscaleDiscriminator(1))(x, x)[int(name[1]) - 1][-1]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("name", "widths"), [("G", {629, 645}), ("E", {53, 69}), ("D1", {70}), ("D2", {141})])
def test_an_output_depends_on_the_pixels_that_arithmetic_says(name, widths, axis):
    shape = (704, 48) if axis == 0 else (48, 704)
    x = torch.full((1, 3, *shape), 1e-9, dtype=torch.float64, requires_grad=True)  # where tanh is a straight line
    output = output_of(name, x)[0, 0].select(1 - axis, 2)
    found = set()
    for at in (len(output) // 2, len(output) // 2 + 5):  # after a doubling, not all outputs see equally far
        (gradient,) = torch.autograd.grad(output[at], x, retain_graph=True)
        seen = (gradient[0] > 0).any(dim=0).any(dim=1 - axis)
        low, high = field(FIELDS[name], at)
        assert seen.nonzero().flatten().tolist() == list(range(low, high + 1))
        found.add(high - low + 1)
    assert found == widths


def test_a_normalising_encoder_cannot_tell_an_even_tint_and_ours_can():
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    shift = torch.tensor([0.3, -0.2, 0.1]).view(1, 3, 1, 1)
    blind, seeing = Encoder(4), Encoder(4, norm="none")
    torch.testing.assert_close(blind(image), blind(image + shift), atol=1e-4, rtol=0)
    assert (seeing(image) - seeing(image + shift)).abs().max() > 0.01


def test_label_planes_of_two_touching_squares():
    instances = torch.zeros(1, 8, 12, dtype=torch.int64)
    instances[0, 2:6, 2:6] = 1
    instances[0, 2:6, 6:10] = 2
    background, cells, edge = label_planes(instances)[0]
    assert cells.sum() == 32
    assert torch.equal(background, 1 - cells)
    assert edge[4].tolist() == [0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0]  # 2 px wide wherever ids meet
    assert edge[0].sum() == 0


def test_a_soft_generator_sees_blurred_planes_and_features():
    sharp, _ = make_painter(preset("smoke", feature_skip=True))
    soft, _ = make_painter(preset("smoke", feature_skip=True, softness_px=1.5))
    soft.load_state_dict(sharp.state_dict())
    instances = torch.zeros(1, 32, 48, dtype=torch.int64)
    instances[0, 8:20, 10:30] = 1
    planes, features = label_planes(instances), torch.rand(1, 3, 32, 48)
    torch.testing.assert_close(soft(planes, features), sharp(softened(planes, 1.5), softened(features, 1.5)))
    assert (soft(planes, features) - sharp(planes, features)).abs().max() > 0.01


def test_padding_repeats_the_border_up_to_multiples_of_16():
    x = torch.arange(300 * 33).view(1, 300, 33)
    padded = pad_sides(x)
    assert padded.shape == (1, 304, 48)
    assert torch.equal(padded[:, :300, :33], x)
    assert torch.equal(padded[0, 303, :33], x[0, 299])
    assert pad_sides(padded) is padded
