"""A training that begins with another painter's networks."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bloodlib.datasets import load
from bloodlib.gan.config import PRESETS, preset
from bloodlib.gan.networks import label_planes, make_painter
from bloodlib.gan.training import Trainer
from bloodlib.gan.warm import FORMS, begin_with, check_form, same_planes

TINY = preset("smoke", filters=4, blocks=1)


def painter(config, seed):
    torch.manual_seed(seed)
    generator, encoder = make_painter(config)
    return SimpleNamespace(generator=generator.eval(), encoder=encoder.eval(), config=config)


def test_inputs_are_found_again():
    """Planes are background, cells, objects, edge; then three features."""
    one = TINY
    assert same_planes(one, one) == [0, 1, 2, 3, 4, 5]
    assert same_planes(replace(one, cell_classes=3), one) == [0, 1, 1, 1, 2, 3, 4, 5]
    assert same_planes(replace(one, objects=True), one) == [0, 1, None, 2, 3, 4, 5]
    three = replace(one, cell_classes=3, objects=True)  # 0, 1-3, 4 objects, 5 edge, 6-8
    assert same_planes(replace(one, cell_classes=4, objects=True), three) == [0, 1, 2, 3, 1, 4, 5, 6, 7, 8]
    assert same_planes(one, three) == [0, 1, 5, 6, 7, 8]


@pytest.mark.parametrize("feature_skip", [True, False])
def test_new_classes_are_painted_as_the_cells_were(feature_skip):
    """Whatever class a cell is given, it looks at first as the painter of one class paints it."""
    old = painter(replace(TINY, feature_skip=feature_skip), 0)
    new = painter(replace(TINY, feature_skip=feature_skip, cell_classes=3), 1)
    begin_with(new.generator, new.encoder, new.config, old)
    instances = torch.zeros(1, 64, 64, dtype=torch.long)
    instances[:, 10:30, 10:30], instances[:, 35:60, 20:50] = 1, 2
    features = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = old.generator(label_planes(instances), features)
        for classes in ([1, 1], [2, 3]):
            kinds = torch.tensor([0, *classes])[instances]
            after = new.generator(label_planes(instances, kinds, new.config.labels), features)
            torch.testing.assert_close(after, before)
        image = torch.rand(1, 3, 64, 64)
        torch.testing.assert_close(new.encoder(image), old.encoder(image))


def test_what_it_did_not_know_stays_as_drawn():
    old, new = painter(TINY, 0), painter(replace(TINY, objects=True), 1)
    drawn = new.generator.trunk.down[0][1].weight.detach().clone()
    begin_with(new.generator, new.encoder, new.config, old)
    weight, other = new.generator.trunk.down[0][1].weight, old.generator.trunk.down[0][1].weight
    assert torch.equal(weight[:, 2], drawn[:, 2])
    assert torch.equal(weight[:, [0, 1, 3, 4, 5, 6]], other)


@pytest.mark.parametrize("name", FORMS)
def test_another_form_is_refused(name):
    other = {"filters": 8, "blocks": 2, "feature_channels": 4, "halvings": 3, "norm": "pixel", "upsample": "transposed"}
    other |= {"encoder_norm": "instance", "padding": "zeros"}
    changed = replace(TINY, **{name: other.get(name, not getattr(TINY, name))})
    with pytest.raises(ValueError, match=rf"start_from: .*{name}="):
        check_form(TINY, changed)


def test_a_training_begins_with_it_and_goes_on_as_if_never_stopped(tmp_path):
    smears = list(load("phantom", split="fit", shape=(96, 128))[:2])
    stages = tuple(replace(stage, crop=64, batch=1, steps=2) for stage in PRESETS["smoke"].stages)
    config = replace(TINY, stages=stages, average=0.9, checkpoint_every=1)
    start = painter(TINY, 5)
    straight = Trainer(config, smears, seed=1, start=start)
    assert torch.equal(straight.generator.head.weight, start.generator.head.weight)
    assert straight.painter is straight.average, "nothing random is to be forgotten"
    assert Trainer(config, smears, seed=1).painter is not straight.average
    straight.run()
    Trainer(config, smears, tmp_path, seed=1, start=start).run(stop_after=1)
    resumed = Trainer(config, smears, tmp_path, seed=1, start=start)
    resumed.run()
    for a, b in zip(straight.generator.parameters(), resumed.generator.parameters(), strict=True):
        assert np.array_equal(a.detach().numpy(), b.detach().numpy())
