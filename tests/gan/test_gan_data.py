import numpy as np
import pytest
import torch

import bloodlib
from bloodlib.gan.config import GanConfig, Stage, preset
from bloodlib.gan.data import (
    Crops,
    Labelled,
    fingerprint,
    fitting_crops,
    label,
    resized,
    shortest_side_px,
    to_image,
    to_network,
    views,
    with_objects,
)
from bloodlib.gan.pooling import lay_out
from bloodlib.io import write_folder
from bloodlib.smears import Smear, SmearFolder


def numbered(height=40, width=56, name="a"):
    """A smear in which the image tells the instance of every pixel, and its place."""
    instances = (np.arange(height)[:, None] // 20 * 3 + np.arange(width)[None] // 20 + 1).astype(np.int32)
    rows, columns = np.indices((height, width))
    return Smear(np.stack([instances, rows, columns], axis=2).astype(np.uint8), instances, name=name)


def labelled(name="a"):
    smear = numbered(name=name)
    return Labelled(name, smear.image, smear.instances, np.array([0, *[1] * smear.count]))


def test_images_pass_to_the_networks_and_back_unchanged():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(to_image(to_network(image)), image)
    assert to_network(image).min() >= -1


@pytest.mark.parametrize("second", [False, True])
def test_image_mask_kinds_and_styles_are_cut_and_turned_together(second):
    smears = [Labelled(x.name, x.image, x.instances, np.array([0, 1, 2, 1, 2, 1, 2])) for x in (labelled(),) * 2]
    told = torch.arange(7.0)[:, None] * torch.ones(3)
    styles = [{view: told + 10 * view for view in range(8)} for _ in smears] if second else None
    crops = Crops(smears, Stage(crop=32, batch=3, steps=1), rotations=True, styles=styles)
    corners, seen = set(), set()
    for seed in range(20):
        batch = crops.draw(np.random.default_rng(seed))
        image = torch.stack([torch.from_numpy(to_image(x)) for x in batch.image]).long()
        assert torch.equal(image[..., 0], batch.instances)
        assert torch.equal(batch.kinds, 2 - batch.instances % 2)
        if second:  # the features are those of the view that the image is turned to
            view = (batch.features[:, 0] - batch.instances)[:, 0, 0] / 10
            assert torch.equal(batch.features[:, 0], batch.instances + 10 * view[:, None, None])
            downwards = torch.stack([x[0, 0, 1:] - x[-1, -1, 1:] for x in image])  # first corner less the last
            assert torch.equal(downwards[:, 0] > 0, view % 2 == 1)
            assert torch.equal(downwards[:, 1] > 0, view // 2 % 2 == 1)
            transposed = [int(x[0, 0, 1] == x[0, 1, 1]) ^ 1 for x in image]  # the row changes along the columns
            assert transposed == (view // 4).int().tolist()
            seen |= set(view.int().tolist())
        corners.add(tuple(image[0, 0, 0, 1:].tolist()))
    assert len(corners) > 10
    assert not second or seen == set(range(8))


def test_a_crop_gets_its_part_of_what_styles_lay_over_the_whole_smear():
    y, x = np.mgrid[:48, :60]
    instances = np.where((x - 28) ** 2 + (y - 22) ** 2 < 300, 1, np.where(x > 50, 2, 0)).astype(np.int32)
    image = np.stack([x, y, 0 * x], axis=-1).astype(np.uint8)  # every pixel says where it was
    smear = Labelled("a", image, instances, np.array([0, 1, 1]))
    told = torch.randn(3, 2 * 6, generator=torch.Generator().manual_seed(0))
    styles = [dict.fromkeys(range(8), told)]
    crops = Crops([smear], Stage(crop=32, batch=2, steps=1), rotations=True, styles=styles, terms=6)
    turned = [smear.view(view) for view in range(8)]
    whole = [lay_out(told, torch.from_numpy(one.instances.astype(np.int64)), 6) for one in turned]
    seen = set()
    for seed in range(40):
        batch = crops.draw(np.random.default_rng(seed))
        for x, features in zip(batch.image, batch.features, strict=True):
            cut = to_image(x)
            corners = [np.argwhere((one.image == cut[0, 0]).all(axis=-1))[0] for one in turned]
            parts = [np.s_[row : row + 32, column : column + 32] for row, column in corners]
            (view,) = (k for k in range(8) if np.array_equal(turned[k].image[parts[k]], cut))
            torch.testing.assert_close(features, whole[view][:, *parts[view]])
            seen.add(view)
    assert seen == set(range(8))


def test_the_eight_views_are_the_symmetries_of_the_square():
    square = Labelled("a", np.zeros((3, 3, 3), np.uint8), np.arange(9, dtype=np.int32).reshape(3, 3), np.arange(9))
    turned = {square.view(k).instances.tobytes() for k in range(8)}
    expected = [np.rot90(square.instances, k) for k in range(4)]
    assert turned == {x.copy().tobytes() for turn in expected for x in (turn, turn.T)}
    assert np.array_equal(square.view(5).instances, np.flip(square.instances, 0).T)
    assert np.array_equal(square.view(3).kind_map, square.kind_map[::-1, ::-1])


def test_only_square_crops_are_transposed():
    assert views(Stage(crop=32, steps=1), flips=True, rotations=True) == (0, 1, 2, 3, 4, 5, 6, 7)
    assert views(Stage(crop=32, steps=1), flips=False, rotations=True) == (0, 4)
    assert views(Stage(steps=1), flips=True, rotations=True) == (0, 1, 2, 3)
    assert views(Stage(steps=1), flips=False, rotations=False) == (0,)


def test_objects_are_numbered_after_the_cells_and_are_a_class_of_their_own():
    cells = np.array([[0, 1, 2, 3, 0]], np.int32)
    objects = np.array([[2, 0, 0, 0, 1]], np.int32)
    ids, kinds = with_objects(cells, np.array([4, 4, 4]), objects)
    assert ids.tolist() == [[5, 1, 2, 3, 4]]
    assert kinds.tolist() == [0, 1, 1, 1, 2, 2]
    ids, kinds = with_objects(cells, np.array([0, 2, 1]), objects, cell_classes=3)
    assert ids.tolist() == [[5, 1, 2, 3, 4]]
    assert kinds.tolist() == [0, 1, 3, 2, 4, 4]
    assert with_objects(cells, np.array([0, 0, 0]), None)[1].tolist() == [0, 1, 1, 1]
    with pytest.raises(ValueError, match="class 2 but cell_classes is 2"):
        with_objects(cells, np.array([0, 2, 1]), None, cell_classes=2)
    with pytest.raises(ValueError, match="class -1 but"):
        with_objects(cells, np.array([0, -1, 1]), None, cell_classes=2)


def test_a_label_has_the_image_without_the_ink_that_was_written_into_it():
    image = np.full((60, 80, 3), (200, 190, 210), np.uint8)
    instances = np.zeros((60, 80), np.int32)
    image[10:30, 10:30], instances[10:30, 10:30] = (150, 90, 110), 1
    written = image.copy()
    written[50:52, 30:60], written[18:21, 5:40] = (20, 20, 20), (20, 160, 40)  # a black bar; a green one over the cell
    clean = label(Smear(written, instances), preset("smoke"))
    assert np.array_equal(clean.instances, instances)
    assert np.abs(clean.image[instances == 1].mean(axis=0) - (150, 90, 110)).max() < 12
    assert clean.image.max(axis=2).min() > 120
    assert label(Smear(image, instances), preset("smoke")).image is image


def test_a_batch_is_decided_by_its_generator():
    crops = Crops([labelled(), labelled("b")], Stage(crop=32, batch=2, steps=1), rotations=True)
    first, again = (crops.draw(np.random.default_rng([0, 1, 2])) for _ in range(2))
    other = crops.draw(np.random.default_rng([0, 1, 3]))
    assert first.names == again.names
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.noise, again.noise)
    assert not torch.equal(first.noise, other.noise)


def test_where_gradients_would_overflow_crops_of_mere_background_are_drawn_again():
    """Measured on such a crop with the smoke preset's first weights: the generator's gradient is infinite."""
    instances = np.zeros((200, 200), np.int32)
    instances[20:40, 30:50] = 1
    smear = label(Smear(np.full((200, 200, 3), 200, np.uint8), instances, name="a"), preset("smoke"))

    def shown(blank):
        crops = Crops([smear], Stage(crop=32, batch=40, steps=1), blank=blank)
        return crops.draw(np.random.default_rng(0)).instances.flatten(1).any(1)

    assert not shown(blank=True).all()
    assert shown(blank=False).all()
    assert not preset("smoke").blank_crops
    assert preset("laptop").blank_crops


def test_whole_smears_are_padded_to_multiples_of_16():
    batch = Crops([labelled()], Stage(steps=1), flips=False).draw(np.random.default_rng(0))
    assert batch.image.shape == (1, 3, 48, 64)
    assert batch.instances[0, 47, 63] == batch.instances[0, 39, 55]


def test_resizing_never_makes_new_ids():
    small = resized(labelled(), (23, 31))
    assert small.image.shape == (23, 31, 3)
    assert set(np.unique(small.instances)) <= set(range(1, 7))


def test_crops_larger_than_a_smear_are_refused():
    with pytest.raises(ValueError, match="crop is 64 px but a smear has a side of 40 px"):
        Crops([labelled()], Stage(crop=64, steps=1))


def test_the_fingerprint_sees_names_and_pixels():
    a, b = numbered(name="a"), numbered(name="b")
    brighter = Smear(a.image + 1, a.instances, name="a")
    assert len({fingerprint(s) for s in ([a], [b], [a, b], [b, a], [brighter])}) == 5
    assert fingerprint([a, b]) == fingerprint([numbered(name="a"), numbered(name="b")])


@pytest.fixture
def mine(tmp_path):
    """A folder of five smears, two of them for tests."""
    write_folder(tmp_path, [numbered(name=name) for name in "abcde"])
    (tmp_path / "splits.json").write_text('{"fit": ["a", "b", "c"], "test": ["d", "e"]}')
    return tmp_path


@pytest.mark.parametrize("changed", ["images/b.png", "instances/d.png", "coco.json"])
def test_the_fingerprint_of_a_folder_sees_every_file(mine, changed):
    before = fingerprint(bloodlib.load(mine))
    assert fingerprint(bloodlib.load(mine)) == before
    (mine / changed).write_bytes((mine / changed).read_bytes() + b" ")
    assert fingerprint(bloodlib.load(mine)) != before


def test_the_fingerprint_of_a_part_of_a_folder_sees_its_files_only(mine):
    def parts():
        whole, fit = bloodlib.load(mine), bloodlib.load(mine, split="fit")
        return [fingerprint(x) for x in (fit, whole[:3], whole.select([0, 1, 2]), fit[:2])]

    before = parts()
    assert before[0] == before[1] == before[2] != before[3]
    (mine / "images" / "d.png").write_bytes((mine / "images" / "d.png").read_bytes() + b" ")
    assert parts() == before
    (mine / "instances" / "b.png").write_bytes((mine / "instances" / "b.png").read_bytes() + b" ")
    assert not set(parts()) & set(before)


def test_the_fingerprint_of_rendered_smears_sees_what_renders_them_and_no_pixel():
    def rendered(brighter=0, by="phantom 1", names="abc"):
        def read(name):
            smear = numbered(name=name)
            return Smear(smear.image + brighter, smear.instances, name=name)

        return SmearFolder(names, read, rendered=by)

    same = fingerprint(rendered())
    assert fingerprint(rendered(brighter=1)) == same  # as another processor rounds it
    assert len({same, fingerprint(rendered(by="phantom 2")), fingerprint(rendered(names="abd"))}) == 3
    assert fingerprint(rendered()[:2]) == fingerprint(rendered(names="ab")) != same
    assert fingerprint(list(rendered())) != same  # of smears in memory nobody knows what made them


@pytest.mark.real
def test_the_fingerprint_that_the_released_model_was_fitted_on_stays(real_data):
    assert fingerprint(bloodlib.load("chula_rbc12", split="fit")) == "6418c113e7dfb6c8"


def test_crops_shrink_to_the_smallest_smear():
    config = GanConfig(stages=(Stage(crop=256, steps=1), Stage(shape=(128, 160), crop=64, steps=1)))
    with pytest.warns(UserWarning, match="crops are 64 px wide instead of 256 px, since a smear has a side of 70 px"):
        assert [stage.crop for stage in fitting_crops(config, 70).stages] == [64, 64]
    assert fitting_crops(config, 256) == config
    whole = GanConfig(stages=(Stage(steps=1), Stage(steps=1)))
    assert fitting_crops(whole, 20) == whole
    with pytest.raises(ValueError, match="a smear has a side of 31 px; needed are 32 px at least"):
        fitting_crops(config, 31)


def test_the_shortest_side_is_that_of_any_smear(mine):
    assert shortest_side_px(bloodlib.load(mine)) == shortest_side_px([numbered()]) == min(numbered().instances.shape)
    with pytest.raises(ValueError, match="no smears to train on"):
        shortest_side_px([])


def test_the_fingerprint_sees_classes_where_they_matter():
    plain = numbered()
    classed = Smear(plain.image, plain.instances, np.array([0, 1, 2, 0, 1, 2]), name="a")
    assert fingerprint([plain]) == fingerprint([classed])
    assert fingerprint([plain], classes=True) != fingerprint([classed], classes=True)
