import itertools

import numpy as np
import pytest
import torch
from torch import nn

from bloodlib.gan.networks import (
    Discriminator,
    Encoder,
    GlobalGenerator,
    MultiscaleDiscriminator,
    feature_planes,
    label_planes,
    pad_sides,
    pool_instances,
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


def test_a_verdict_sees_70_pixels():
    judge = Discriminator(6, 2)
    for layer in judge.layers:
        for i, part in enumerate(layer):
            if isinstance(part, nn.InstanceNorm2d):  # it mixes the whole map into every pixel
                layer[i] = nn.Identity()
    x = torch.randn(1, 6, 160, 160, requires_grad=True)
    verdict = judge(x)[-1]
    verdict[0, 0, verdict.shape[2] // 2, verdict.shape[3] // 2].backward()
    seen = x.grad.abs().sum(dim=(0, 1)) > 0
    assert seen.any(dim=0).sum() == seen.any(dim=1).sum() == 70


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


def slow_pool(features, instances):
    pooled = torch.zeros_like(features)
    for n in range(len(features)):
        for k in instances[n].unique():
            where = instances[n] == k
            pooled[n][:, where] = features[n][:, where].mean(dim=1, keepdim=True)
    return pooled


def test_pooling_agrees_with_a_loop_and_so_does_its_gradient():
    generator = torch.Generator().manual_seed(3)
    instances = torch.randint(0, 7, (2, 9, 11), generator=generator)
    instances[1] *= 3  # ids with gaps
    features = torch.randn(2, 3, 9, 11, generator=generator, requires_grad=True)
    weight = torch.randn(2, 3, 9, 11, generator=generator)
    pooled, means = pool_instances(features, instances)
    (ours,) = torch.autograd.grad((pooled.square() * weight).sum(), features)
    expected = slow_pool(features, instances)
    (theirs,) = torch.autograd.grad((expected.square() * weight).sum(), features)
    torch.testing.assert_close(pooled, expected)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(feature_planes(means[1], instances[1]), expected[1])


def test_padding_repeats_the_border_up_to_multiples_of_16():
    x = torch.arange(300 * 33).view(1, 300, 33)
    padded = pad_sides(x)
    assert padded.shape == (1, 304, 48)
    assert torch.equal(padded[:, :300, :33], x)
    assert torch.equal(padded[0, 303, :33], x[0, 299])
    assert pad_sides(padded) is padded


def test_pooling_whole_smears_has_no_loop_over_cells():
    instances = torch.from_numpy(np.arange(64 * 64).reshape(1, 64, 64))  # every pixel its own cell
    features = torch.randn(1, 2, 64, 64)
    torch.testing.assert_close(pool_instances(features, instances)[0], features)
