"""CycleGAN: its networks and losses against literal versions, its buffer, and a training that can be stopped."""

import warnings
from dataclasses import replace
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bloodlib.gan.checkpoint import read_checkpoint
from bloodlib.gan.cyclegan import (
    CYCLE_PRESETS,
    LOSSES,
    CycleConfig,
    CycleObjective,
    PaintingBuffer,
    ResnetGenerator,
    cycle_preset,
    planes_trimap,
    trimap_planes,
)
from bloodlib.gan.cyclegan_painting import CellPainter
from bloodlib.gan.cyclegan_training import CycleTrainer, Unpaired
from bloodlib.gan.loop import CHECKPOINT, NonFiniteLossError
from bloodlib.gan.networks import Discriminator
from bloodlib.io import LabelWarning, read_image, write_image
from bloodlib.io.trimaps import read_trimap
from bloodlib.paths import in_checkout
from tools.layout import ROOT

TINY = cycle_preset(
    "smoke",
    side_px=32,
    filters=2,
    blocks=1,
    discriminator_filters=2,
    buffer=3,
    steps=8,
    checkpoint_every=3,
    preview_every=4,
    tensorboard_every=2,
)


def toy_cells(count=4, side=40):
    """Cells of a disc in a disc, each elsewhere and of another size: pictures and their trimaps."""
    images, trimaps = [], []
    rows, columns = np.indices((side, side))
    for k in range(count):
        rng = np.random.default_rng(k)
        away = np.hypot(rows - side / 2 - rng.uniform(-3, 3), columns - side / 2 - rng.uniform(-3, 3))
        size = rng.uniform(11, 16)
        trimap = (away < size).astype(np.uint8) + (away < size / 2)
        colours = np.array([[225, 215, 190], [170, 150, 200], [90, 50, 130]])[trimap]
        images.append(np.clip(colours + rng.integers(-8, 9, colours.shape), 0, 255).astype(np.uint8))
        trimaps.append(trimap)
    return images, trimaps


@pytest.mark.parametrize("planes", ["grey", "onehot"])
def test_a_trimap_comes_back_from_its_planes(planes):
    trimap = np.random.default_rng(0).integers(0, 3, (20, 24)).astype(np.uint8)
    seen = trimap_planes(trimap, planes)
    assert seen.shape == (3, 20, 24)
    assert (seen.min(), seen.max()) == (-1, 1)
    assert (planes_trimap(seen, planes) == trimap).all()
    noisy = seen + 0.2 * torch.randn(seen.shape, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    assert (planes_trimap(noisy, planes) == trimap).all()


def test_the_published_networks_have_the_published_number_of_weights():
    """11.378 M and 2.765 M in the reference implementation (resnet_9blocks and basic, 3 channels)."""
    assert sum(p.numel() for p in ResnetGenerator(CycleConfig()).parameters()) == 11_378_179
    assert sum(p.numel() for p in Discriminator(3, 64, padding=1).parameters()) == 2_764_737


def test_a_verdict_looks_at_70_pixels():
    judge = Discriminator(3, 2, padding=1)
    image = torch.zeros(1, 3, 256, 256, requires_grad=True)
    for layer in judge.layers:  # the norms look at everything: the receptive field is that of the convolutions
        for k, part in enumerate(layer):
            if isinstance(part, nn.InstanceNorm2d):
                layer[k] = nn.Identity()
            elif isinstance(part, nn.Conv2d):
                nn.init.ones_(part.weight)
    verdict = judge(image)[-1]
    assert verdict.shape == (1, 1, 30, 30)
    verdict[0, 0, 15, 15].backward()
    seen = image.grad[0].abs().sum(dim=0) > 0
    assert (int(seen.any(dim=0).sum()), int(seen.any(dim=1).sum())) == (70, 70)


def test_the_paper_profile_is_the_papers():
    paper = CYCLE_PRESETS["paper"]
    stated = (paper.side_px, paper.blocks, paper.epochs, paper.learning_rate, paper.lambda_identity)
    assert stated == (256, 9, 100, 2e-4, 0.0)
    assert paper.step_count(300) == 30_000
    assert CycleConfig.from_dict(CYCLE_PRESETS["laptop"].to_dict()) == CYCLE_PRESETS["laptop"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"planes": "rgb"}, "planes is 'rgb'; it can be grey, onehot"),
        ({"epochs": 1, "steps": 1}, "exactly one"),
        ({"side_px": 50}, "side_px is 50"),
        ({"buffer": -1}, "buffer is -1"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        CycleConfig(**wrong)
    with pytest.raises(ValueError, match="unknown setting 'lambda'"):
        cycle_preset("smoke", **{"lambda": 1})
    with pytest.raises(ValueError, match="profile is 'huge'; it can be smoke, laptop, paper"):
        cycle_preset("huge")


def test_presentation_does_not_change_the_digest_but_settings_and_seed_do():
    digest = TINY.digest(seed=0)
    assert replace(TINY, preview_every=7, tensorboard_every=0, checkpoint_every=1).digest(seed=0) == digest
    assert len({digest, replace(TINY, buffer=4).digest(seed=0), TINY.digest(seed=1)}) == 3


def test_the_buffer_fills_then_swaps_or_passes_by_chance():
    buffer = PaintingBuffer(2, 4)
    pictures = [torch.full((1, 3, 4, 4), float(k)) for k in range(5)]
    swap_first, keep = torch.tensor([[0.1, 0.0]]), torch.tensor([[0.9, 0.0]])
    shown = [buffer.exchange(x, d).mean().item() for x, d in zip(pictures[:2], (swap_first, keep), strict=True)]
    assert shown == [0, 1], "while it fills, what comes in goes out"
    assert buffer.exchange(pictures[2], keep).mean() == 2
    assert buffer.paintings.mean(dim=(1, 2, 3)).tolist() == [0, 1]
    assert buffer.exchange(pictures[3], swap_first).mean() == 0
    assert buffer.exchange(pictures[4], torch.tensor([[0.49, 0.99]])).mean() == 1
    assert buffer.paintings.mean(dim=(1, 2, 3)).tolist() == [3, 4]
    assert PaintingBuffer(0, 4).exchange(pictures[3], swap_first).mean() == 3


@pytest.mark.parametrize("identity", [0.0, 0.5])
def test_each_network_gets_the_gradient_of_its_own_loss(identity):
    """Against two backward passes per side, with the generators' D frozen, as the reference does it."""
    torch.manual_seed(0)
    objective = CycleObjective(replace(TINY, lambda_identity=identity, buffer=0))
    image, trimap = (
        torch.rand(2, 3, 32, 32) * 2 - 1,
        trimap_planes(toy_cells(1, 32)[1][0], "onehot").expand(2, -1, -1, -1),
    )
    joined, losses = objective(image, trimap, torch.rand(2, 2, 2))
    ours = torch.autograd.grad(joined, list(objective.parameters()))

    g, f, dx, dy = objective.to_image, objective.to_trimap, objective.d_image, objective.d_trimap
    painted, found = g(trimap), f(image)
    one, zero = torch.ones(()), torch.zeros(())

    def verdict(judge, x, target):
        y = judge(x)[-1]
        return F.mse_loss(y, target.expand_as(y))

    painters = verdict(dx, painted, one) + verdict(dy, found, one)
    cycles = 10 * (g(found) - image).abs().mean() + 10 * (f(painted) - trimap).abs().mean()
    same = 10 * identity * ((g(image) - image).abs().mean() + (f(trimap) - trimap).abs().mean())
    of_generators = torch.autograd.grad(painters + cycles + same, [*g.parameters(), *f.parameters()], retain_graph=True)
    judges = 0.5 * (verdict(dx, image, one) + verdict(dx, painted.detach(), zero))
    judges = judges + 0.5 * (verdict(dy, trimap, one) + verdict(dy, found.detach(), zero))
    of_judges = torch.autograd.grad(judges, [*dx.parameters(), *dy.parameters()])
    for a, b in zip(ours, (*of_generators, *of_judges), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)
    total = sum(losses[name] for name in LOSSES)
    torch.testing.assert_close(total, (painters + cycles + same + judges).detach(), rtol=1e-4, atol=1e-5)


def test_pictures_and_trimaps_are_drawn_apart_and_by_the_generator_alone():
    images = [np.full((40, 36, 3), 10 * k, np.uint8) for k in range(6)]
    trimaps = [np.full((40, 36), k % 3, np.uint8) for k in range(6)]
    data = Unpaired(images, trimaps, replace(TINY, batch=64))
    batch, again, other = (data.draw(np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(batch.image, again.image)
    assert torch.equal(batch.trimap, again.trimap)
    assert not torch.equal(batch.image, other.image)
    picture = ((batch.image.mean(dim=(1, 2, 3)) + 1) * 12.75).round().long()
    trimap = batch.trimap.mean(dim=(2, 3)).argmax(dim=1)
    assert (picture % 3 != trimap).any(), "not of the same cells"
    with pytest.raises(ValueError, match="0 images and 6 trimaps"):
        Unpaired([], trimaps, TINY)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    trainer = CycleTrainer(TINY, *toy_cells(), tmp_path_factory.mktemp("unbroken"))
    assert trainer.run()
    return trainer


def same(a, b):
    losses = all(a.history[name] == b.history[name] for name in ("step", *LOSSES))
    pairs = zip(a.objective.state_dict().values(), b.objective.state_dict().values(), strict=True)
    return losses and all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("stops", [(1,), (5,), (3, 2)])
def test_stopped_and_resumed_ends_at_the_weights_of_an_unbroken_run(unbroken, tmp_path, stops):
    for stop in stops:
        assert not CycleTrainer(TINY, *toy_cells(), tmp_path).run(stop_after=stop)
    last = CycleTrainer(TINY, *toy_cells(), tmp_path)
    assert last.run()
    assert same(last, unbroken)


@pytest.mark.parametrize("killed_at", [4, 7])
def test_killed_between_checkpoints_and_resumed_ends_there_too(unbroken, tmp_path, killed_at):
    class Killed(CycleTrainer):
        def _advance(self, *args):
            if self.step == killed_at:
                raise KeyboardInterrupt
            super()._advance(*args)

    with pytest.raises(KeyboardInterrupt):
        Killed(TINY, *toy_cells(), tmp_path).run()
    held, state = read_checkpoint(tmp_path / CHECKPOINT)
    assert state["step"] == killed_at // 3 * 3
    assert int(held["images.held"]) == 3, "the buffer is part of it"
    last = CycleTrainer(TINY, *toy_cells(), tmp_path)
    assert 0 < last.step < killed_at
    assert last.run()
    assert same(last, unbroken)


def test_a_seed_decides_the_weights(unbroken):
    other = CycleTrainer(TINY, *toy_cells(), seed=1)
    other.run()
    assert not same(other, unbroken)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    CycleTrainer(TINY, *toy_cells(), tmp_path, identity="a").run(stop_after=1)
    with pytest.raises(ValueError, match="other cells, settings or seed"):
        CycleTrainer(TINY, *toy_cells(), tmp_path, identity="b")


def test_without_a_name_for_it_pictures_settings_and_seed_tell_a_training(tmp_path):
    images, trimaps = toy_cells()
    CycleTrainer(TINY, images, trimaps, tmp_path).run(stop_after=1)
    others = ({"config": replace(TINY, lambda_cycle=1.0)}, {"images": [255 - x for x in images]}, {"seed": 7})
    for other in others:
        with pytest.raises(ValueError, match="other cells, settings or seed"):
            CycleTrainer(**{"config": TINY, "images": images, "trimaps": trimaps, "folder": tmp_path, **other})
    assert CycleTrainer(TINY, images, trimaps, tmp_path).step == 1


@pytest.mark.parametrize(
    ("name", "value"), [("batch", 0), ("steps", 0), ("checkpoint_every", 0), ("preview_every", -1), ("buffer", -1)]
)
def test_settings_that_no_training_can_have_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; it can be"):
        replace(TINY, **{name: value})


def test_previews_can_be_left_out(tmp_path):
    assert CycleTrainer(replace(TINY, preview_every=0, steps=1), *toy_cells(), tmp_path).run()
    assert not list(tmp_path.glob("previews/*"))


def test_pictures_and_trimaps_of_another_kind_are_refused():
    images, trimaps = toy_cells()
    with pytest.raises(ValueError, match=r"image 0 is uint16"):
        CycleTrainer(TINY, [x.astype(np.uint16) for x in images], trimaps)
    grey = [np.array([0, 128, 255], np.uint8)[x] for x in trimaps]
    with pytest.raises(ValueError, match="values up to 255; allowed are"):
        CycleTrainer(replace(TINY, planes="onehot"), images, grey)
    with pytest.raises(ValueError, match="values up to 255; allowed are"):
        trimap_planes(grey[0], "onehot")


def test_a_loss_that_is_no_number_stops_the_training(monkeypatch):
    forward = CycleObjective.forward

    def broken(self, *args):
        joined, losses = forward(self, *args)
        return joined, {**losses, "cycle_image": losses["cycle_image"] * float("nan")}

    monkeypatch.setattr(CycleObjective, "forward", broken)
    with pytest.raises(NonFiniteLossError, match=r"loss 'cycle_image' is nan at step 0 on pictures \d; no checkpoint"):
        CycleTrainer(TINY, *toy_cells()).run()


def test_training_leaves_curves_and_pictures(unbroken):
    assert unbroken.history["step"] == list(range(8))
    names = {path.name for path in (unbroken.folder / "previews").iterdir()}
    assert names == {"step-000001.png", "step-000004.png", "step-000008.png"}
    assert read_image(unbroken.folder / "previews" / "step-000008.png").shape == (64, 96, 3)
    assert list((unbroken.folder / "tensorboard").glob("events.*"))


def test_cycles_are_learnt():
    trainer = CycleTrainer(replace(TINY, filters=4, steps=60, learning_rate=2e-3), *toy_cells())
    trainer.run()
    for name in ("cycle_image", "cycle_trimap"):
        assert np.mean(trainer.history[name][-10:]) < 0.7 * np.mean(trainer.history[name][:5])


def test_a_painter_works_at_native_size_and_comes_back_from_disk(unbroken, tmp_path):
    painter = unbroken.painter
    images, trimaps = toy_cells(1, 41)
    painted, found = painter.paint(trimaps[0]), painter.find(images[0])
    assert (painted.shape, painted.dtype) == ((41, 41, 3), np.uint8)
    assert (found.shape, found.dtype) == ((41, 41), np.uint8)
    assert found.max() <= 2
    painter.save(tmp_path, what="toy")
    again = CellPainter.load(tmp_path)
    assert np.abs(again.paint(trimaps[0]).astype(int) - painted).mean() < 2
    (tmp_path / "weights.safetensors").write_bytes(b"x")
    with pytest.raises(ValueError, match="does not match its hash"):
        CellPainter.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"card\.json: is missing"):
        CellPainter.load(tmp_path / "elsewhere")


def test_pairs_are_written_under_one_name(unbroken, tmp_path):
    trimaps = dict(zip("ab", toy_cells(2)[1], strict=True))
    assert unbroken.painter.write_pairs(tmp_path, trimaps) == ["a", "b"]
    for name, trimap in trimaps.items():
        assert (read_trimap(tmp_path / "trimaps" / f"{name}.png") == trimap).all()
        assert (read_image(tmp_path / "images" / f"{name}.png") == unbroken.painter.paint(trimap)).all()


CHAPTER = ROOT / "notebooks" / "12_cyclegan_white_cells.ipynb"


def drawn_by_hand(folder, background, cytoplasm, nucleus, smooth):
    """Draw a cell as a paint program saves it, in RGB; give the file and the three parts as they were meant."""
    canvas, meant = np.full((90, 100, 3), background, np.uint8), np.zeros((90, 100), np.uint8)
    for k, (colour, radius) in enumerate(((cytoplasm, 32), (nucleus, 15)), start=1):
        cv2.circle(canvas, (50, 45), radius, colour, -1, cv2.LINE_AA if smooth else cv2.LINE_8)
        cv2.circle(meant, (50, 45), radius, k, -1)
    path = folder / "my_cell.png"
    write_image(path, canvas)
    return path, meant


def chapter_reads(drawing, artifacts):
    """Run the chapter's own cell that draws a trimap and reads the reader's."""
    (source,) = (cell.source for cell in nbformat.read(CHAPTER, as_version=4).cells if cell.id == "draw")
    names = {"artifacts": artifacts, "drawing": str(drawing), "Path": Path, "cv2": cv2, "np": np}
    names |= {"read_trimap": read_trimap, "in_checkout": in_checkout}
    exec(source, names)  # one namespace for all, as in a kernel: what the cell defines its comprehensions see
    return names["mine"]


@pytest.mark.parametrize(
    ("colours", "smooth"),
    [
        (((0, 0, 0), (128, 128, 128), (255, 255, 255)), False),
        (((0, 0, 0), (128, 128, 128), (255, 255, 255)), True),
        (((8, 2, 14), (118, 131, 142), (250, 244, 255)), True),  # picked by eye from a palette
    ],
    ids=["exact", "smooth brush", "colours slightly off"],
)
def test_a_mask_of_the_readers_own_is_read_painted_and_comes_back_as_label(unbroken, tmp_path, colours, smooth):
    path, meant = drawn_by_hand(tmp_path, *colours, smooth)
    assert (len(np.unique(read_image(path))) > 9) == smooth, "a smooth brush leaves greys between"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mine = chapter_reads(path, tmp_path / "artifacts")
    assert set(mine) == {"drawn here", "my_cell"}
    read = mine["my_cell"]
    assert set(np.unique(read)) == {0, 1, 2}
    rim = cv2.dilate(meant, np.ones((3, 3))) != cv2.erode(meant, np.ones((3, 3)))
    assert (read == meant)[~rim].all()
    assert (read == meant).mean() > 0.98
    unbroken.painter.write_pairs(tmp_path / "pairs", mine)
    painted = read_image(tmp_path / "pairs" / "images" / "my_cell.png")
    assert (painted == unbroken.painter.paint(read)).all()
    assert painted.shape == (90, 100, 3)
    assert (read_trimap(tmp_path / "pairs" / "trimaps" / "my_cell.png") == read).all()


def test_a_mask_drawn_in_the_colours_of_a_stain_is_warned_of(tmp_path):
    path, _ = drawn_by_hand(tmp_path, (0, 0, 0), (200, 170, 210), (90, 40, 130), False)
    with pytest.warns(LabelWarning, match=r"my_cell\.png: .* of the pixels are neither black"):
        chapter_reads(path, tmp_path / "artifacts")
