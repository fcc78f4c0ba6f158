import gc
import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from toy import TINY, toy_smears

from bloodlib.gan import checkpoint
from bloodlib.gan.checkpoint import read_checkpoint
from bloodlib.gan.config import Stage, preset
from bloodlib.gan.data import Crops
from bloodlib.gan.journal import TENSORBOARD
from bloodlib.gan.losses import adversarial, colour_difference, feature_matching
from bloodlib.gan.networks import label_planes, make_discriminator, make_painter
from bloodlib.gan.objective import LOSSES, Objective
from bloodlib.gan.painting import encode_smear, paint_instances
from bloodlib.gan.perceptual import PerceptualLoss
from bloodlib.gan.pooling import pool_instances
from bloodlib.gan.training import CHECKPOINT, NonFiniteLossError, Trainer, learning_rate_factor
from bloodlib.io import read_image
from bloodlib.smears import Smear, relabel


@pytest.fixture(scope="module")
def smears():
    return toy_smears()


def weights(trainer):
    networks = (trainer.generator, trainer.encoder, trainer.discriminator)
    return [x.detach().clone() for network in networks for x in network.state_dict().values()]


@pytest.fixture(scope="module")
def unbroken(smears, tmp_path_factory):
    trainer = Trainer(TINY, smears, tmp_path_factory.mktemp("unbroken"))
    assert trainer.run()
    return trainer


def same(trainer, unbroken):
    losses = all(trainer.history[name] == unbroken.history[name] for name in ("stage", "step", *LOSSES))
    return losses and all(torch.equal(a, b) for a, b in zip(weights(trainer), weights(unbroken), strict=True))


@pytest.mark.parametrize("stops", [(3,), (5,), (7,), (1, 1, 5)])
def test_stopped_and_resumed_ends_at_the_weights_of_an_unbroken_run(smears, unbroken, tmp_path, stops):
    for stop in stops:
        assert not Trainer(TINY, smears, tmp_path).run(stop_after=stop)
    last = Trainer(TINY, smears, tmp_path)
    assert last.run()
    assert same(last, unbroken)


@pytest.mark.parametrize("killed_at", [4, 9])
def test_killed_between_checkpoints_and_resumed_ends_there_too(smears, unbroken, tmp_path, killed_at):
    class Killed(Trainer):
        def _update(self, *args):
            if len(self.history["step"]) == killed_at - 1:
                raise KeyboardInterrupt
            return super()._update(*args)

    with pytest.raises(KeyboardInterrupt):
        Killed(TINY, smears, tmp_path).run()
    with safe_open(tmp_path / CHECKPOINT, "pt") as file:
        assert any(key.startswith("optimiser.1.") for key in file.keys())  # noqa: SIM118
    last = Trainer(TINY, smears, tmp_path)
    assert 0 < len(last.history["step"]) < killed_at
    assert last.run()
    assert same(last, unbroken)


def test_a_seed_decides_the_weights(smears, unbroken):
    again, other = Trainer(TINY, smears), Trainer(TINY, smears, seed=1)
    assert again.run()
    assert other.run()
    assert same(again, unbroken)
    assert not same(other, unbroken)


def test_a_checkpoint_of_something_else_is_refused(smears, tmp_path):
    Trainer(TINY, smears, tmp_path, identity="a").run(stop_after=1)
    with pytest.raises(ValueError, match="other smears, settings"):
        Trainer(TINY, smears, tmp_path, identity="b")


def test_the_history_has_every_step_of_both_stages(unbroken):
    assert unbroken.history["stage"] == [1] * 5 + [2] * 4
    assert unbroken.history["step"] == [0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert {len(values) for values in unbroken.history.values()} == {9}
    assert all(value == 0 for value in unbroken.history["perceptual"])
    names = {path.name for path in (unbroken.folder / "previews").iterdir()}
    assert names == {"real.png", "step-000001.png", "step-000004.png", "step-000008.png"}


def test_training_learns_the_colours(smears):
    stages = (Stage(crop=32, batch=2, steps=60, constant=1.0), Stage(crop=32, batch=2, steps=1))
    trainer = Trainer(preset("smoke", stages=stages, filters=4, blocks=1), smears)
    real, before = trainer.smears[0].image.astype(float), painted(trainer)
    trainer.run()
    far = [np.abs(image - real).mean() for image in (before, painted(trainer))]
    assert far[1] < 0.5 * far[0], "pictures of the same mask, in grey levels"
    matching = trainer.history["feature_matching"]
    assert np.mean(matching[-10:]) < 0.6 * np.mean(matching[:5])


def painted(trainer):
    """Repaint the first smear with the last weights."""
    seen = trainer.smears[0]
    means = encode_smear(trainer.encoder, seen)
    return paint_instances(trainer.generator, seen.instances, means, seen.kinds).astype(float)


def test_bfloat16_ends_near_float32_and_another_seed_does_not(smears):
    """Measured: 2.9 grey levels apart on average, another seed's painting 22 (`make_fabric`); twice that is allowed."""
    config = replace(TINY, norm="pixel", halvings=3, skips=True, filters=4)
    trainers = [
        Trainer(replace(config, precision=precision), smears, seed=seed)
        for precision, seed in (("float32", 0), ("bfloat16", 0), ("float32", 1))
    ]
    assert all(trainer.run() for trainer in trainers)
    assert [x.fabric.strategy.precision.precision for x in trainers] == ["32-true", "bf16-mixed", "32-true"]
    exact, rounded, other = map(painted, trainers)
    assert 0 < np.abs(exact - rounded).mean() < 6
    assert np.abs(exact - other).mean() > 12


def test_the_running_mean_holds_on_to_no_step_that_it_was_taken_over(smears):
    trainer = Trainer(replace(TINY, average=0.5), smears)
    trainer.run(stop_after=2)
    assert not any(weights.requires_grad for weights in trainer.average.parameters())


@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("default")  # the compiler's libraries have warnings of their own
@pytest.mark.parametrize(
    ("changes", "tolerance"),
    [
        ({"norm": "pixel"}, 1e-3),
        ({"precision": "bfloat16", "filters": 4}, 0.1),  # 32 channels, 64 px: had NaN, see `bloodlib.gan.layers`
    ],
)
def test_a_compiled_painter_trains_as_the_plain_one(smears, changes, tolerance):
    """Measured: losses agree to 1e-6, in bfloat16 to 0.02; on two shared cores the first compilation took 5 minutes."""
    stages = (Stage(crop=64, batch=2, steps=2, constant=1.0), Stage(crop=64, batch=2, steps=1))
    config = replace(TINY, stages=stages, halvings=3, discriminators=1, average=0.0, **changes)
    plain, compiled = (Trainer(replace(config, compile=switch), smears) for switch in (False, True))
    assert plain.run()
    assert compiled.run()
    assert compiled.generator._compiled_call_impl is not None
    for name in LOSSES:
        assert np.isfinite(compiled.history[name]).all()
        np.testing.assert_allclose(compiled.history[name], plain.history[name], rtol=tolerance, atol=1e-3)


def breaks(trainer, at, part):
    """Let the loss, or only the gradient, of one step be no number."""
    forward = Objective.forward

    def broken(self, *args):
        joined, losses = forward(self, *args)
        if len(trainer.history["step"]) == at:
            if part == "loss":
                losses["gan"] = losses["gan"] * float("nan")
            else:  # the derivative of a root at 0: finite itself, with an infinite slope
                weight = next(trainer.generator.parameters())
                joined = joined + (weight - weight.detach()).abs().sum().sqrt()
        return joined, losses

    return broken


@pytest.mark.parametrize("part", ["loss", "gradient"])
@pytest.mark.parametrize(("at", "where", "names"), [(3, "step 3 of stage 1", 2), (7, "step 2 of stage 2", 1)])
def test_what_is_no_number_stops_with_step_names_and_the_last_checkpoint(
    smears, tmp_path, monkeypatch, part, at, where, names
):
    trainer = Trainer(TINY, smears, tmp_path)
    monkeypatch.setattr(Objective, "forward", breaks(trainer, at, part))
    with pytest.raises(NonFiniteLossError) as stopped:
        trainer.run()
    said = str(stopped.value)
    assert f"at {where} on smears " in said
    named = said.split(" on smears ")[1].split("; ")[0].split(", ")
    assert len(named) == names
    assert set(named) <= {smear.name for smear in smears}
    assert f"the last good checkpoint is {tmp_path / CHECKPOINT}:" in said
    assert ("loss 'gan' is nan" in said) == (part == "loss")
    assert ("the gradient of the generator is " in said) == (part == "gradient")
    held, state = read_checkpoint(tmp_path / CHECKPOINT)
    assert len(state["history"]["step"]) == at // 2 * 2
    assert all(torch.isfinite(x).all() for x in held.values())
    assert all(torch.isfinite(x).all() for x in weights(trainer)), "no step was taken on it"


def test_a_stop_before_the_first_checkpoint_says_so(smears, monkeypatch):
    trainer = Trainer(TINY, smears)
    monkeypatch.setattr(Objective, "forward", breaks(trainer, 0, "loss"))
    with pytest.raises(NonFiniteLossError, match=r"step 0 of stage 1 .*no checkpoint was written yet"):
        trainer.run()


def test_tensorboard_holds_every_loss_and_the_pictures(unbroken):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(unbroken.folder / TENSORBOARD)).Reload()
    assert set(events.Tags()["scalars"]) == {*LOSSES, "learning_rate"}
    for name in LOSSES:
        points = events.Scalars(name)
        assert [point.step for point in points] == [2, 4, 6, 8]
        np.testing.assert_allclose([x.value for x in points], unbroken.history[name][1::2], rtol=1e-5, atol=1e-6)
    assert set(events.Tags()["images"]) == {"real", "step"}
    assert [image.step for image in events.Images("step")] == [1, 4, 8]
    held = cv2.imdecode(np.frombuffer(events.Images("step")[-1].encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(held, cv2.imread(str(unbroken.folder / "previews" / "step-000008.png")))


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("change", [{}, {"gan_loss": "log", "perceptual": "squeezenet", "lambda_colour": 3.0}])
def test_each_network_gets_the_gradient_of_its_own_loss(change, second):
    config = replace(TINY, **change)
    torch.manual_seed(0)
    generator, encoder, judge = (net.double() for net in (*make_painter(config), make_discriminator(config)))
    perceptual = PerceptualLoss("squeezenet").double() if "perceptual" in change else None
    image, instances = torch.rand(1, 3, 32, 32).double() * 2 - 1, torch.randint(0, 3, (1, 32, 32))
    kinds, noise = (instances > 0).long(), torch.randn(1, 1, 32, 32).double()
    features = torch.rand(1, 3, 32, 32).double() if second else None
    objective = Objective(config, generator, judge, None if second else encoder, perceptual)
    joined, losses = objective(image, instances, kinds, features, noise)
    painters = [*generator.parameters(), *([] if second else encoder.parameters())]
    ours = torch.autograd.grad(joined, [*painters, *judge.parameters()])

    # as the reference implementation does it, with one more pass of the painted image
    planes = label_planes(instances, kinds).double()
    styles = features if second else pool_instances(encoder(image), instances)[0]
    painted = generator(planes, styles, noise)
    real_maps, fake_maps = judge(planes, image), judge(planes, painted)
    expected = {
        "gan": adversarial(fake_maps, True, config.gan_loss),
        "feature_matching": 10 * feature_matching(fake_maps, real_maps),
        "perceptual": 10 * perceptual(painted, image) if perceptual else torch.zeros(()),
        "colour": 3 * colour_difference(painted, image) if "lambda_colour" in change else torch.zeros(()),
    }
    theirs = torch.autograd.grad(sum(expected.values()), painters)
    expected["d_real"] = adversarial(judge(planes, image), True, config.gan_loss) / 2
    expected["d_fake"] = adversarial(judge(planes, painted.detach()), False, config.gan_loss) / 2
    theirs += torch.autograd.grad(expected["d_real"] + expected["d_fake"], list(judge.parameters()))
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(losses[name].double(), value.detach().double())
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-7, rtol=1e-5)


def test_learning_rate_is_constant_then_falls_towards_zero():
    factors = [learning_rate_factor(step, 10, 0.6) for step in range(10)]
    assert factors[:7] == [1.0] * 7
    np.testing.assert_allclose(factors[6:], [1.0, 0.75, 0.5, 0.25])
    assert [learning_rate_factor(step, 3, 1.0) for step in range(3)] == [1.0] * 3


def test_previews_of_smears_of_several_heights_stand_side_by_side(tmp_path):
    tall, low = toy_smears()[:2]
    low = Smear(low.image[:60], *relabel(low.instances[:60]), name="low")
    trainer = Trainer(replace(TINY, preview_every=2), [tall, low], tmp_path)
    trainer.run(stop_after=2)
    assert {len(read_image(path)) for path in tmp_path.glob("previews/*.png")} == {60}


def test_no_previews_are_painted_where_none_are_asked_for(tmp_path):
    Trainer(replace(TINY, preview_every=0), toy_smears(), tmp_path).run(stop_after=2)
    assert not list(tmp_path.glob("previews/*.png"))


def test_a_trainer_leaves_the_numbers_of_gpus_alone(smears, monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    Trainer(TINY, smears)
    assert seeded == []


def test_every_step_has_its_rate_its_batch_and_its_mean(smears, monkeypatch):
    """What the loop does with what is tested apart: the schedule, the crops' settings, the seed, the running mean."""
    rates, batches, made, means = [], [], [], []

    class Watched(Trainer):
        def _update(self, model, optimisers, batch, rate):
            before = [p.detach().clone() for p in self.average.parameters()]
            values = super()._update(model, optimisers, batch, rate)
            rates.append({group["lr"] for optimiser in optimisers for group in optimiser.param_groups})
            batches.append(batch.image.clone())
            now = zip(before, self.generator.parameters(), self.average.parameters(), strict=True)
            means.append(all(torch.allclose(mean, 0.9 * old + 0.1 * p.detach(), atol=1e-7) for old, p, mean in now))
            return values

    plain = Crops.__init__

    def crops(self, smears, stage, **kept):
        made.append({name: kept[name] for name in ("flips", "rotations", "noise")})
        plain(self, smears, stage, **kept)

    monkeypatch.setattr(Crops, "__init__", crops)
    stages = (Stage(crop=32, batch=2, steps=4, constant=0.5), Stage(crop=32, steps=2, constant=1.0))
    config = replace(TINY, stages=stages, learning_rate=8e-4, flips=True, rotations=False, noise=False)
    Watched(config, smears).run()
    assert [len(one) for one in rates] == [1] * 6, "G, E and D have one rate"
    of_step = [learning_rate_factor(step, 4, 0.5) for step in range(4)] + [1.0, 1.0]
    assert [one.pop() for one in rates] == pytest.approx([8e-4 * factor for factor in of_step])
    assert of_step[3] < of_step[0]
    assert made == [{"flips": True, "rotations": False, "noise": False}] * 2
    assert all(means)
    first = batches[:4]
    assert all((one != other).any() for one, other in itertools.combinations(first, 2))
    batches.clear()
    Watched(config, smears, seed=1).run(stop_after=1)
    assert (batches[0] != first[0]).any()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no such table on this system")
def test_nothing_that_goes_on_points_into_the_checkpoint(tmp_path):
    path, net = tmp_path / "a.safetensors", torch.nn.Linear(3, 2)

    def stepped():
        optimiser = torch.optim.Adam(net.parameters())
        net(torch.ones(1, 3)).sum().backward()
        optimiser.step()
        return optimiser

    before, after = stepped(), stepped()
    checkpoint.write_checkpoint(path, {"net": net}, [before], {})
    tensors, _ = checkpoint.read_checkpoint(path)
    assert str(path) in Path("/proc/self/maps").read_text()
    checkpoint.restore_networks({"net": net}, tensors)
    checkpoint.restore_moments([after], checkpoint.moments_of(tensors))
    del tensors
    gc.collect()
    assert str(path) not in Path("/proc/self/maps").read_text()
