"""The thesis' networks against closed forms, and a training that is stopped and goes on."""

import numpy as np
import pytest
import torch
from torch import nn

from bloodlib.datasets.single_cells import FIELD_PX, SingleCell
from bloodlib.gan.pix2pix import (
    DISCRIMINATOR_BALANCE,
    GENERATOR_BALANCE,
    CellObjective,
    Down,
    PatchGAN,
    UNet,
    discriminator_loss,
    doubling,
    generator_loss,
)
from bloodlib.gan.pix2pix_training import CellPainter, CellTrainer, jitter, labels_of, preset

TINY = preset("smoke", side_px=32, filters=2, discriminator_filters=2, batch=2, epochs=3, checkpoint_every=2)


def disc_cells(count=4):
    rows, columns = np.indices((FIELD_PX, FIELD_PX))
    made = []
    for k in range(count):
        mask = np.hypot(rows - 128, columns - 128) < 30 + 10 * k
        image = np.where(mask[..., None], [200 - 20 * k, 90, 140], 0).astype(np.uint8)
        made.append(SingleCell(image, mask, k, f"disc-{k}"))
    return made


def test_the_generator_has_the_thesis_channels_and_halves_down_to_one_pixel():
    network = UNet(256, 64)
    assert [down[0].out_channels for down in network.down] == [64, 128, 256, 512, 512, 512, 512, 512]
    assert [up.convolution.out_channels for up in network.up] == [512, 512, 512, 512, 256, 128, 64]
    assert [up.convolution.in_channels for up in network.up] == [512, 1024, 1024, 1024, 1024, 512, 256]
    assert [up.dropout for up in network.up] == [True] * 3 + [False] * 4
    normed = [any(isinstance(layer, nn.InstanceNorm2d) for layer in down) for down in network.down]
    assert normed == [False, *[True] * 6, False]  # neither the first block nor the 1×1 bottleneck
    x = torch.zeros(1, 3, 256, 256)
    for down in network.down:
        x = down(x)
    assert x.shape == (1, 512, 1, 1)


def test_something_passes_the_bottleneck():
    torch.manual_seed(0)
    network = UNet(16, 2)
    x = torch.rand(2, 3, 16, 16)
    for down in network.down:
        x = down(x)
    assert x.shape[2:] == (1, 1)
    assert not torch.equal(x[0], x[1])


@pytest.mark.parametrize(("side", "patches"), [(256, 30), (64, 6)])
def test_the_discriminator_judges_patches(side, patches):
    verdict = PatchGAN(2)(torch.zeros(1, 3, side, side), torch.zeros(1, 3, side, side))
    assert verdict.shape == (1, 1, patches, patches)


def test_a_patch_is_seventy_pixels_wide():
    network = PatchGAN(1)
    for layer in network.modules():
        if isinstance(layer, nn.InstanceNorm2d):  # looks at the whole image by design
            layer.forward = lambda x: x
    image = torch.zeros(1, 3, 256, 256, requires_grad=True)
    network(torch.zeros(1, 3, 256, 256), image)[0, 0, 15, 15].backward()
    seen = image.grad.abs().sum(dim=(0, 1)).nonzero()
    assert (seen.max(dim=0).values - seen.min(dim=0).values + 1).tolist() == [70, 70]


def test_normalisation_is_batch_normalisation_of_one_image():
    torch.manual_seed(0)
    block, x = Down(3, 4), torch.rand(1, 3, 8, 8)
    norm = nn.BatchNorm2d(4, eps=1e-3).train()
    torch.testing.assert_close(block[2](norm(block[0](x))), block(x))


def test_losses_balance_at_one_and_two_times_log_2():
    even = torch.zeros(1, 1, 6, 6)
    assert (
        float(discriminator_loss(even, even)) == pytest.approx(DISCRIMINATOR_BALANCE) == pytest.approx(1.386, abs=5e-4)
    )
    image = torch.zeros(1, 3, 8, 8)
    total, gan, l1 = generator_loss(even, image + 0.5, image)
    assert float(gan) == pytest.approx(GENERATOR_BALANCE) == pytest.approx(0.693, abs=5e-4)
    assert float(l1) == pytest.approx(0.5)
    assert float(total) == pytest.approx(50 + GENERATOR_BALANCE)
    assert (
        float(discriminator_loss(even + 3, even - 3))
        < DISCRIMINATOR_BALANCE
        < float(discriminator_loss(even - 1, even))
    )


def test_jitter_moves_image_and_label_alike_and_invents_no_colour():
    cell, config = disc_cells()[2], preset("smoke", side_px=64)
    places = set()
    for k in range(12):
        image, label = jitter(cell, config, np.random.default_rng(k))
        assert image.shape == label.shape == (64, 64, 3)
        assert set(map(tuple, label.reshape(-1, 3).tolist())) <= {(0, 0, 0), (0, 0, 255)}
        off = (image.any(axis=2) != label.any(axis=2)).mean()
        assert off < 0.05  # the border alone
        places.add(tuple(np.argwhere(label.any(axis=2)).min(axis=0)))
    assert len(places) > 4


def test_jitter_can_also_shrink():
    """Factors from 0.5 to 286/256 of a disc 100 px wide in a field of 256, shown at 64."""
    cell, config = disc_cells()[2], preset("smoke", side_px=64, smallest=0.5)
    widths = []
    for k in range(40):
        image, label = jitter(cell, config, np.random.default_rng(k))
        assert image.shape == label.shape == (64, 64, 3)
        shown = label.any(axis=2)
        assert not shown[[0, -1]].any(), "nothing is cut: the field grew with black"
        widths.append(shown.any(axis=0).sum())
    assert min(widths) <= 15
    assert max(widths) >= 26
    with pytest.raises(ValueError, match=r"smallest is 2; needed is a factor above 0, at most jitter=1\.1"):
        preset("smoke", smallest=2)


def test_each_network_gets_the_slope_of_its_own_loss():
    torch.manual_seed(0)
    objective = CellObjective(UNet(32, 2), PatchGAN(2))
    label, image = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    generator, discriminator = objective.generator, objective.discriminator
    objective(label, image, torch.Generator().manual_seed(3))[0].backward()
    joined = {name: p.grad.clone() for name, p in objective.named_parameters()}
    objective.zero_grad()
    painted = generator(label, torch.Generator().manual_seed(3))
    discriminator_loss(discriminator(label, image), discriminator(label, painted.detach())).backward()
    discriminator.requires_grad_(False)
    generator_loss(discriminator(label, painted), painted, image)[0].backward()
    for name, p in objective.named_parameters():
        torch.testing.assert_close(joined[name], p.grad)


def test_dropout_stays_on_when_painting_and_follows_the_generator_given():
    painter = CellTrainer(TINY, disc_cells()).painter
    labels = labels_of(disc_cells(), TINY)
    one, again, other = (painter.paint(labels, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert one.shape == (4, 32, 32, 3)


def state(trainer):
    return [
        x.clone()
        for network in (trainer.objective.generator, trainer.objective.discriminator)
        for x in network.state_dict().values()
    ]


def test_training_stopped_and_resumed_ends_at_the_weights_of_an_unbroken_one(tmp_path):
    whole = CellTrainer(TINY, disc_cells())
    before = state(whole)
    assert whole.run()
    assert not CellTrainer(TINY, disc_cells(), tmp_path).run(stop_after=3)
    resumed = CellTrainer(TINY, disc_cells(), tmp_path)
    assert resumed.step == 3
    assert resumed.run()
    assert all(torch.equal(a, b) for a, b in zip(state(whole), state(resumed), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(state(whole), before, strict=True))
    assert resumed.history["l1"] == whole.history["l1"]
    with pytest.raises(ValueError, match="other cells, settings or seed"):
        CellTrainer(TINY, disc_cells(), tmp_path, seed=1)


def test_a_painter_learns_the_colour_of_two_types():
    config = preset("smoke", filters=8, batch=4, epochs=60)
    trainer = CellTrainer(config, disc_cells(2))
    trainer.run()
    assert np.mean(trainer.history["l1"][-5:]) < 0.5 * np.mean(trainer.history["l1"][:5])


def test_a_stored_painter_paints_alike_and_a_damaged_one_is_refused(tmp_path):
    painter = CellTrainer(TINY, disc_cells()).painter
    painter.save(tmp_path, {"what": "a test"})
    loaded = CellPainter.load(tmp_path)
    assert loaded.config == TINY
    labels = labels_of(disc_cells(), TINY)
    made = [p.paint(labels, np.random.default_rng(0)).astype(int) for p in (painter, loaded)]
    assert np.abs(made[0] - made[1]).max() <= 2  # half precision
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match="does not match its hash"):
        CellPainter.load(tmp_path)
    with pytest.raises(FileNotFoundError, match="is missing"):
        CellPainter.load(tmp_path / "nowhere")


def test_wrong_settings_are_named():
    with pytest.raises(ValueError, match="side_px is 48; it must be a power of 2"):
        UNet(48, 2)
    with pytest.raises(ValueError, match="side_px is 16; at least 32"):
        preset("smoke", side_px=16)
    with pytest.raises(ValueError, match="profile is 'huge'"):
        preset("huge")
    with pytest.raises(ValueError, match="unknown setting 'colour'"):
        preset("smoke", colour=1)
    with pytest.raises(ValueError, match="resize is 'cubic'"):
        preset("smoke", resize="cubic")


def test_pixels_repeated_and_convolved_keep_an_even_map_even_and_transposed_convolutions_do_not():
    torch.manual_seed(0)
    even = torch.ones(1, 4, 6, 6)
    spread = {}
    for upsample in ("resize", "transposed"):
        doubled = doubling(4, 3, upsample, bias=True)(even).detach()
        assert doubled.shape == (1, 3, 12, 12)
        spread[upsample] = float(doubled[..., 2:-2, 2:-2].std(dim=(2, 3)).max())
    assert spread["resize"] < 1e-6 < 1e-2 < spread["transposed"]
    with pytest.raises(ValueError, match="upsample is 'sub-pixel'; it can be transposed, resize"):
        preset("smoke", upsample="sub-pixel")
    assert preset("paper").upsample == "transposed"  # the thesis'
