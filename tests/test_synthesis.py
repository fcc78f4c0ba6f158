import json
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import bloodlib
from bloodlib.gan.config import Stage, preset
from bloodlib.gan.data import Labelled, label
from bloodlib.gan.painting import check_objects, encode_smear
from bloodlib.gan.training import Trainer
from bloodlib.io import write_folder, write_instances
from bloodlib.io.images import DataWarning
from bloodlib.sampler.constants import LayoutConstants
from bloodlib.sampler.masks import CrowdedWarning, MaskGenerator
from bloodlib.smears import Smear, SmearFolder, relabel
from bloodlib.synthesis import Synthesizer

pytestmark = pytest.mark.filterwarnings("ignore::bloodlib.sampler.masks.CrowdedWarning")

SETTINGS = {
    "stages": (Stage(crop=64, steps=3, constant=1.0), Stage(crop=64, steps=2)),
    "filters": 2,
    "blocks": 1,
    "checkpoint_every": 2,
    "progress": False,
}


@pytest.fixture(scope="module")
def smears():
    return bloodlib.load("phantom", split="fit", shape=(160, 240))[:5]


@pytest.fixture(scope="module")
def folder(smears, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "painter"
    Synthesizer.fit(smears, folder=folder, **SETTINGS)
    return folder


@pytest.fixture(scope="module")
def synth(folder):
    return Synthesizer.load(folder)


def test_the_folder_holds_the_model_and_no_leftovers(folder):
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "generator.safetensors",
        "encoder.safetensors",
        "layout.safetensors",
        "styles.safetensors",
        "history.json",
        "previews",
        "tensorboard",
    }
    about = json.loads((folder / "config.json").read_text())
    assert about["perceptual"] == "none"
    assert about["data"]["smears"] == 5


def test_what_is_loaded_samples_what_was_fitted(smears, synth):
    fitted = Synthesizer.fit(smears, **SETTINGS)
    a, b = (s.sample(np.random.default_rng(3)) for s in (fitted, synth))
    assert np.array_equal(a.image, b.image)
    assert np.array_equal(a.instances, b.instances)
    assert fitted.history.keys() == synth.history.keys()
    assert len(synth.history["gan"]) == 5


def test_a_finished_model_is_not_trained_again(smears, folder, monkeypatch):
    monkeypatch.setattr(Trainer, "run", lambda _: pytest.fail("trained again"))
    again = Synthesizer.fit(smears, folder=folder, **SETTINGS)
    assert again.about["data"]["smears"] == 5


def test_a_folder_of_another_model_is_refused(smears, folder):
    with pytest.raises(ValueError, match="other smears, settings or seed"):
        Synthesizer.fit(smears, folder=folder, seed=1, **SETTINGS)
    with pytest.raises(ValueError, match="other smears, settings or seed"):
        Synthesizer.fit(smears[:4], folder=folder, **SETTINGS)


def test_an_interrupted_fit_goes_on_to_the_same_model(smears, folder, tmp_path, monkeypatch):
    update = Trainer._update

    def stopped(self, *args):
        if len(self.history["step"]) == 4:
            raise KeyboardInterrupt
        return update(self, *args)

    monkeypatch.setattr(Trainer, "_update", stopped)
    with pytest.raises(KeyboardInterrupt):
        Synthesizer.fit(smears, folder=tmp_path, **SETTINGS)
    with pytest.raises(FileNotFoundError, match="training was interrupted"):
        Synthesizer.load(tmp_path)
    monkeypatch.setattr(Trainer, "_update", update)
    Synthesizer.fit(smears, folder=tmp_path, **SETTINGS)
    for name in ("generator", "encoder", "layout", "styles"):
        file = f"{name}.safetensors"
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes()


@pytest.mark.parametrize("name", ["generator.safetensors", "history.json"])
def test_a_damaged_file_is_found_by_its_hash(folder, tmp_path, name):
    for path in folder.glob("*.*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: does not match its hash"):
        Synthesizer.load(tmp_path)


def test_there_is_no_model_where_there_is_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="no finished model"):
        Synthesizer.load(tmp_path)


def test_samples_are_labelled_smears_of_the_asked_size(synth):
    smear = synth.sample(np.random.default_rng(0), shape=(150, 210), count=5)
    assert smear.image.shape == (150, 210, 3)
    assert smear.count == 5
    plain = synth.sample(np.random.default_rng(0))
    assert plain.image.shape == (160, 240, 3)


def test_equal_seeds_draw_equal_smears_and_others_do_not(synth):
    a, b, c = (synth.sample(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(a.image, b.image)
    assert not np.array_equal(a.instances, c.instances)


def test_a_mask_of_another_magnification_is_warned_of(smears, synth):
    mask, rng = smears[0].instances, np.random.default_rng(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        synth.paint(mask, rng)
        synth.paint(np.ascontiguousarray(mask[:24, :24]), rng)  # no whole cell, so nothing to tell it by
    twice = np.kron(mask, np.ones((2, 2), mask.dtype))
    whole = {k: np.count_nonzero(mask == k) for k in np.unique(mask[1:-1, 1:-1])[1:]}
    edges = {*mask[0], *mask[-1], *mask[:, 0], *mask[:, -1]}
    across = 4 * np.sqrt(np.median([area for k, area in whole.items() if k not in edges]) / np.pi)
    with pytest.warns(DataWarning, match=rf"cells are {across:.0f} px across, .*resized by 0\.\d"):
        synth.paint(twice, rng)


def test_a_profile_with_sizes_learns_from_smears_of_another_at_their_own(smears):
    stages = (Stage(shape=(160, 320), steps=2), Stage(shape=(320, 480), steps=2))
    with pytest.warns(DataWarning, match=r"240×160 px are learnt from as they are, instead of 480×320.*at 160×80 px"):
        made = Synthesizer.fit(smears, **(SETTINGS | {"stages": stages, "encoder_stage": 1}))
    assert [stage.shape for stage in made.config.stages] == [(80, 160), (160, 240)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same = Synthesizer.fit(smears, **(SETTINGS | {"stages": 2 * (Stage(shape=(160, 240), steps=2),)}))
        made.encode(smears[0])
        drawn = made.sample(np.random.default_rng(0))
    areas = [np.median(one.layout.shapes.areas()) for one in (made, same)]
    assert areas[0] == areas[1], "cells are as large as in the smears"
    assert drawn.image.shape == (160, 240, 3)


def test_smears_of_several_sizes_are_each_learnt_from_at_their_own(smears):
    small = Smear(smears[0].image[:128], relabel(smears[0].instances[:128])[0], name="small")
    stages = (Stage(shape=(160, 320), steps=1), Stage(shape=(320, 480), steps=1))
    with pytest.warns(DataWarning, match="smears of several sizes are learnt from as they are"):
        made = Synthesizer.fit([small, *smears[1:]], **(SETTINGS | {"stages": stages}))
    assert [stage.shape for stage in made.config.stages] == [None, None]


def test_the_encoder_of_the_paper_sees_smears_at_the_size_that_it_learnt_on(smears):
    stages = (Stage(shape=(80, 120), steps=2), Stage(shape=(160, 240), steps=2))
    made = Synthesizer.fit(smears, **(SETTINGS | {"stages": stages, "encoder_stage": 1}))
    seen = label(smears[0], made.config)
    small, own = (encode_smear(made.encoder, seen, scale=scale).numpy() for scale in ((0.5, 0.5), None))
    assert np.array_equal(made.encode(smears[0]), small)
    assert np.array_equal(made.styles.features[: len(small)], small), "of which the styles are, too"
    assert np.abs(small - own).max() > 1e-3
    speck = seen.instances.copy()
    speck[0, 0] = speck.max() + 1
    one_more = Labelled("speck", seen.image, speck, np.append(seen.kinds, 1))
    assert len(encode_smear(made.encoder, one_more, scale=(0.5, 0.5))) == len(small) + 1, "whatever is left of it there"


@pytest.mark.parametrize("last", [True, False])
def test_a_cell_that_leaves_no_pixel_at_the_size_of_a_profile_is_left_out(smears, last):
    first = smears[0]
    instances = np.where(first.instances > 0, first.instances + 1, 0)
    instances[0, 0] = first.count + 2 if last else 1  # a row that is not looked at where every second one is
    instances, _ = relabel(instances)
    speck = Smear(first.image, instances, None, name="speck", group=first.group)
    settings = SETTINGS | {
        "encoder_stage": 1,
        "stages": tuple(Stage(shape=(s, s * 3 // 2), steps=2) for s in (80, 160)),
    }
    made = Synthesizer.fit([speck, *smears[1:]], **settings)
    assert np.isfinite(made.styles.features).all()
    assert (np.abs(made.styles.features).sum(axis=1) > 0).all(), "no style of nothing"


def test_masks_are_painted_by_style_or_in_given_features(smears, synth):
    mask = smears[0].instances
    features = synth.encode(smears[0])
    assert features.shape == (smears[0].count + 1, 3)
    own = synth.paint(mask, np.random.default_rng(0), features=features)
    styled = [synth.paint(mask, np.random.default_rng(0), style=k) for k in range(len(synth.styles))]
    assert own.shape == styled[0].shape == smears[0].image.shape
    assert not np.array_equal(styled[0], styled[-1])
    with pytest.raises(ValueError, match="style is 99"):
        synth.paint(mask, np.random.default_rng(0), style=99)
    for wrong in (features[1:], features[:, :2], np.repeat(features, 2, axis=1), features[:, 0]):
        with pytest.raises(ValueError, match=rf"needed is \({smears[0].count + 1}, 3\): rows of features"):
            synth.paint(mask, np.random.default_rng(0), features=wrong)
    with pytest.raises(ValueError, match="instances are float64"):
        synth.paint(mask.astype(float), np.random.default_rng(0))
    with pytest.raises(ValueError, match="classes are given, but this painter knows one class of cells"):
        synth.paint(mask, np.random.default_rng(0), classes=np.full(smears[0].count, 7))
    wide = synth.paint(mask.astype(np.uint64), np.random.default_rng(0), features=features)
    assert np.array_equal(wide, own)
    tiny = synth.paint(np.eye(16, dtype=np.int32), np.random.default_rng(0))
    assert tiny.shape == (16, 16, 3)
    broken = features.copy()
    broken[3] = np.nan
    with pytest.raises(ValueError, match="features of instance 3 are no finite numbers"):
        synth.paint(mask, np.random.default_rng(0), features=broken)


def test_reading_a_model_leaves_torch_s_random_numbers_alone(folder):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        wanted = torch.rand(3)
        torch.manual_seed(5)
        Synthesizer.load(folder)
        assert torch.equal(torch.rand(3), wanted)


def test_objects_that_do_not_fit_a_mask_are_named():
    mask, objects = np.zeros((40, 50), np.uint8), np.zeros((40, 50), np.uint8)
    mask[4:20, 4:20], objects[30:34, 30:34] = 1, 200
    found = check_objects(objects, mask)
    assert found.dtype == np.int32
    assert found.max() == 200
    for wrong in (objects[:30], objects[:1], objects > 0, objects.astype(float), objects.astype(int) - 1):
        with pytest.raises(ValueError, match=r"objects are .*; needed are ids ≥ 0 as int \(40, 50\)"):
            check_objects(wrong, mask)
    with pytest.raises(ValueError, match="an object lies on a cell"):
        check_objects(mask, mask)


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


def test_a_set_is_the_same_whether_written_at_once_or_in_parts(synth, tmp_path):
    synth.write(tmp_path / "whole", count=3, seed=7)
    synth.write(tmp_path / "parts", count=1, seed=7)
    (tmp_path / "parts" / "instances" / "00001.png").write_bytes(b"killed while writing")
    synth.write(tmp_path / "parts", count=3, seed=7)
    assert files(tmp_path / "whole") == files(tmp_path / "parts")
    manifest = json.loads((tmp_path / "whole" / "manifest.json").read_text())
    assert [entry["seed"] for entry in manifest["smears"]] == [[7, 0], [7, 1], [7, 2]]
    read = bloodlib.load(tmp_path / "whole")
    assert len(read) == 3
    assert [smear.count for smear in read] == [entry["placed"] for entry in manifest["smears"]]
    expected = synth.sample(np.random.default_rng([7, 2]))
    assert np.array_equal(read[2].image, expected.image)
    assert np.array_equal(read[2].instances, expected.instances)


def test_a_set_of_another_seed_or_other_files_are_not_mixed(synth, tmp_path):
    synth.write(tmp_path / "set", count=1, seed=7)
    with pytest.raises(ValueError, match="write to another folder"):
        synth.write(tmp_path / "set", count=2, seed=8)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("three years of work")
    with pytest.raises(ValueError, match="not empty"):
        synth.write(tmp_path / "mine", count=1, seed=7)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"style": 99}, "style is 99; this painter has styles 0 to"),
        ({"style": -3}, "style is -3"),
        ({"seed": -1}, "seed=-1: a whole number of 0 or more"),
        ({"count": 0}, "count=0: a whole number of 1 or more"),
        ({"count": -1}, "count=-1: a whole number of 1 or more"),
        ({"shape": (0, 5)}, "at least 1 each"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_folder_is_begun(synth, tmp_path, wrong, says):
    with pytest.raises(ValueError, match=says):
        synth.write(tmp_path / "new", **{"count": 1, "seed": 0, **wrong})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("style", [99, -3])
def test_a_style_that_there_is_not_is_refused_also_where_masks_are_drawn_after_one_slide(smears, synth, style):
    slides = replace(synth, layout=MaskGenerator.fit(smears, by_slide=True))
    with pytest.raises(ValueError, match=f"style is {style}; this painter has styles 0 to"):
        slides.sample(np.random.default_rng(0), style=style)


@pytest.mark.parametrize("content", ['{"seed": 0, "masks": []}', "[]", '{"smears": 3}'])
def test_a_manifest_of_something_else_is_refused(synth, tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match="is not that of a set of smears; write to another folder"):
        synth.write(tmp_path, count=1, seed=0)


def test_corrected_annotations_are_not_passed_over(smears, tmp_path):
    write_folder(tmp_path / "mine", smears)
    made = Synthesizer.fit(bloodlib.load(tmp_path / "mine"), folder=tmp_path / "model", **SETTINGS)
    mine = bloodlib.load(tmp_path / "mine")
    assert Synthesizer.fit(mine, folder=tmp_path / "model", **SETTINGS).about == made.about
    assert made.with_camera(mine).camera is not None
    corrected = relabel(np.where(mine[1].instances == 1, 0, mine[1].instances))[0]
    write_instances(tmp_path / "mine" / "instances" / f"{mine[1].name}.png", corrected)
    (tmp_path / "mine" / "coco.json").unlink()
    with pytest.raises(ValueError, match="holds a model of other smears"):
        Synthesizer.fit(bloodlib.load(tmp_path / "mine"), folder=tmp_path / "model", **SETTINGS)


def test_small_smears_are_learnt_from_in_smaller_crops(smears, monkeypatch):
    small = list(bloodlib.load("phantom", split="fit", shape=(130, 190))[:5])
    settings = {**SETTINGS, "stages": (Stage(crop=256, steps=1), Stage(crop=64, steps=1))}
    with pytest.warns(UserWarning, match="crops are 128 px wide instead of 256 px"):
        made = Synthesizer.fit(small, **settings)
    assert [stage.crop for stage in made.config.stages] == [128, 64]
    asked = preset("smoke", **{key: value for key, value in settings.items() if key != "progress"})
    assert made.about["identity"] == asked.digest(seed=0, data=made.about["data"]["fingerprint"])
    monkeypatch.setattr(MaskGenerator, "fit", lambda *_, **__: pytest.fail("it measures before it looks at sizes"))
    tiny = [Smear(x.image[:30], relabel(x.instances[:30])[0], name=x.name) for x in smears]
    with pytest.raises(ValueError, match="a smear has a side of 30 px; needed are 32 px at least"):
        Synthesizer.fit(tiny, **settings)


def test_a_crowded_set_is_said_once_and_listed_in_the_manifest(synth, tmp_path, monkeypatch):
    draw = synth.layout.sample
    monkeypatch.setattr(synth.layout, "sample", lambda rng, shape, count, *rest: draw(rng, shape, 90, *rest))
    with pytest.warns(CrowdedWarning, match="2 of 2 smears are full and hold fewer cells") as told:
        synth.write(tmp_path / "set", count=2, seed=0, shape=(96, 128))
    assert len(told) == 1
    rows = json.loads((tmp_path / "set" / "manifest.json").read_text())["smears"]
    assert all(0 < row["placed"] < row["requested"] == 90 for row in rows)


def test_a_chosen_style_is_that_of_every_smear_and_no_other_set_is_mixed_in(synth, tmp_path):
    synth.write(tmp_path / "set", count=2, seed=0, shape=(96, 128), style=2)
    rows = json.loads((tmp_path / "set" / "manifest.json").read_text())["smears"]
    assert [row["style"] for row in rows] == [2, 2]
    with pytest.raises(ValueError, match="write to another folder"):
        synth.write(tmp_path / "set", count=3, seed=0, shape=(96, 128), style=1)


CLASSES = ("round", "oval", "tear")


@pytest.fixture(scope="module")
def classed(smears, tmp_path_factory):
    """A painter of three classes of cells: of every four, one is round, two oval and one a tear."""
    mixed = {x.name: replace(x, classes=np.resize([0, 1, 2, 1], x.count)) for x in smears}
    folder = tmp_path_factory.mktemp("classed")
    Synthesizer.fit(SmearFolder(list(mixed), mixed.get, class_names=CLASSES), folder=folder, cell_classes=3, **SETTINGS)
    return Synthesizer.load(folder)


def test_sampled_cells_have_classes_in_the_shares_of_the_smears(classed):
    """Each share is off by four standard deviations in fewer than 1 of 10,000 trials; the smears' own vary by 0.03."""
    drawn = [classed.sample(np.random.default_rng(seed), shape=(240, 320), count=40) for seed in range(15)]
    assert all(len(x.classes) == x.instances.max() for x in drawn)
    classes = np.concatenate([x.classes for x in drawn])
    assert len(classes) > 300
    shares = np.bincount(classes, minlength=3) / len(classes)
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.25], atol=0.03 + 4 * 0.5 / np.sqrt(len(classes)))
    again = classed.sample(np.random.default_rng(14), shape=(240, 320), count=40)
    assert np.array_equal(again.image, drawn[-1].image)
    assert np.array_equal(again.classes, drawn[-1].classes)


def test_the_mix_of_classes_can_be_chosen(classed):
    some = [classed.sample(np.random.default_rng(0), classes=mix) for mix in ({2: 1}, {1: 3.0}, [0, 0, 7])]
    assert [set(x.classes) for x in some] == [{2}, {1}, {2}]
    assert np.array_equal(some[0].image, some[2].image)
    assert not np.array_equal(some[0].instances, some[1].instances), "shapes are those of the class"
    both = classed.sample(np.random.default_rng(0), classes={0: 1, 2: 1}).classes
    assert set(both) == {0, 2}


@pytest.mark.parametrize(
    ("mix", "says"),
    [
        ({3: 1}, "classes names 3; this painter has the classes 0 to 2"),
        ({"oval": 1}, "classes names 'oval'"),
        ([1, 1, 1, 1], "classes names 3"),
        ([1, -1, 1], "shares of 0 or more"),
        ({}, "one of them above 0"),
        ([0.0, np.nan, 1.0], "shares of 0 or more"),
    ],
)
def test_wrong_mixes_are_refused(classed, mix, says):
    with pytest.raises(ValueError, match=says):
        classed.sample(np.random.default_rng(0), classes=mix)


def test_a_painter_of_one_class_gives_one_class(synth):
    assert not synth.sample(np.random.default_rng(0)).classes.any()
    with pytest.raises(ValueError, match="classes names 1; this painter has the classes 0 to 0"):
        synth.sample(np.random.default_rng(0), classes={1: 1})


def test_given_classes_are_painted(smears, classed):
    mask, features = smears[0].instances, classed.encode(smears[0])
    round_, tears = (
        classed.paint(mask, np.random.default_rng(0), features=features, classes=np.full(smears[0].count, k))
        for k in (0, 2)
    )
    changed = (round_ != tears).any(axis=2)
    assert changed[mask > 0].mean() > 0.1
    with pytest.raises(ValueError, match=rf"1 classes for {smears[0].count} cells"):
        classed.paint(mask, np.random.default_rng(0), classes=np.zeros(1, dtype=int))


def test_a_written_set_keeps_classes_and_their_names_also_when_continued(classed, tmp_path):
    classed.write(tmp_path / "whole", count=2, seed=3)
    classed.write(tmp_path / "parts", count=1, seed=3)
    classed.write(tmp_path / "parts", count=2, seed=3)
    assert files(tmp_path / "whole") == files(tmp_path / "parts")
    read = bloodlib.load(tmp_path / "whole")
    assert read.class_names == CLASSES
    for k, smear in enumerate(read):
        assert np.array_equal(smear.classes, classed.sample(np.random.default_rng([3, k])).classes)
    classed.write(tmp_path / "tears", count=1, seed=3, classes={2: 1})
    assert set(bloodlib.load(tmp_path / "tears")[0].classes) == {2}
    with pytest.raises(ValueError, match="write to another folder"):
        classed.write(tmp_path / "tears", count=2, seed=3, classes={1: 1})


def test_smears_without_the_first_class_are_learnt_too(smears):
    later = [replace(x, classes=1 + np.arange(x.count) % 2) for x in smears]
    drawn = Synthesizer.fit(later, cell_classes=3, **SETTINGS).sample(np.random.default_rng(0))
    assert set(drawn.classes) == {1, 2}


def test_a_released_painter_of_the_same_smears_is_reused_and_anything_else_is_trained(smears, folder, monkeypatch):
    monkeypatch.setattr(bloodlib.synthesis, "released_of", lambda data, **about: folder if about["seed"] == 0 else None)
    monkeypatch.setattr(bloodlib.synthesis, "Trainer", lambda *_, **__: pytest.fail("it trains"))
    made = Synthesizer.fit(smears, reuse=True)
    assert made.about["identity"] == Synthesizer.load(folder).about["identity"]
    for other in ({"reuse": False}, {"seed": 1}, {"filters": 3}, {"layout": {"overlap": 0.1}}):
        with pytest.raises(pytest.fail.Exception, match="it trains"):
            Synthesizer.fit(smears, progress=False, **{"reuse": True, **other})


def test_a_profile_draws_smooth_outlines_unless_told_otherwise(smears, monkeypatch):
    plain = Synthesizer.fit(smears, **SETTINGS)
    monkeypatch.setitem(bloodlib.synthesis.LAYOUTS, "smoke", {"smooth": True})
    smooth = Synthesizer.fit(smears, **SETTINGS)
    told = Synthesizer.fit(smears, layout={"smooth": False}, **SETTINGS)
    assert [made.layout.config.shapes.smooth for made in (plain, smooth, told)] == [False, True, False]
    assert plain.about["identity"] == told.about["identity"] != smooth.about["identity"]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools and NumPy 2
def test_cells_that_overlap_are_written_whole_beside_what_is_seen(smears, tmp_path):
    from pycocotools import mask as coder
    from pycocotools.coco import COCO

    overlapping = Synthesizer.fit(smears, layout={"overlap": 0.4, "snap": 1.0}, **SETTINGS)
    assert overlapping.about["identity"] != Synthesizer.fit(smears, **SETTINGS).about["identity"]
    overlapping.write(tmp_path / "set", count=2, seed=0)
    overlapping.write(tmp_path / "set", count=3, seed=0)  # continued
    coco = COCO(tmp_path / "set" / "coco.json")
    written = bloodlib.load(tmp_path / "set")
    assert len(coco.imgs) == len(written) == 3
    hidden = []
    for number, smear in enumerate(written, start=1):
        cells = coco.loadAnns(coco.getAnnIds(imgIds=number))
        assert [cell["instance"] for cell in cells] == list(range(1, smear.count + 1))
        seen = np.zeros_like(smear.instances)
        for cell in cells:
            whole = coco.annToMask(cell).astype(bool)
            visible = coder.decode(cell["visible_mask"]).astype(bool)
            assert (visible <= whole).all()
            np.testing.assert_array_equal(visible, smear.instances == cell["instance"])
            seen[whole] = cell["instance"]  # painted in their order
            hidden.append(cell["occlude_rate"])
        np.testing.assert_array_equal(seen, smear.instances)
    assert max(hidden) > 0
    overlapping.layout = MaskGenerator.fit(smears, overlap=0.4, snap=1.0, placement="uniform")
    with pytest.raises(ValueError, match=r"0000\d\.png: this synthesizer draws another mask from its seed"):
        overlapping.write(tmp_path / "set", count=4, seed=0)
    assert not (tmp_path / "set" / "coco.json").exists(), "none that would contradict the masks"


def test_a_canvas_for_which_no_cell_is_drawn_gets_one(synth, tmp_path, monkeypatch):
    monkeypatch.setattr(bloodlib.MaskGenerator, "draw_count", lambda self, *_: 0)
    synth.write(tmp_path, count=2, seed=0, shape=(64, 64))
    assert [smear.count for smear in bloodlib.load(tmp_path)] == [1, 1]
    assert synth.sample(np.random.default_rng(0), (64, 64), count=0).count == 0, "none if none is asked for"


def test_a_camera_changes_pictures_alone_and_travels_with_the_model(smears, synth, tmp_path):
    with_one = Synthesizer.fit(smears, folder=tmp_path / "painter", camera=True, **SETTINGS)
    assert len(with_one.camera) == len(smears)
    assert synth.camera is None
    plain, taken = (s.sample(np.random.default_rng(3)) for s in (synth, with_one))
    assert np.array_equal(plain.instances, taken.instances)
    assert (plain.image != taken.image).any()
    read = Synthesizer.load(tmp_path / "painter")
    again = Synthesizer.load(tmp_path / "painter").sample(np.random.default_rng(3))
    assert np.array_equal(read.sample(np.random.default_rng(3)).image, again.image)
    a, b = (s.repaint(smears[0], np.random.default_rng(4)).astype(int) for s in (read, with_one))
    assert np.abs(a - b).max() <= 1  # spectra are stored as float16


def test_a_camera_can_be_given_to_a_finished_painter(smears, synth):
    fitted, given = Synthesizer.fit(smears, camera=True, **SETTINGS), synth.with_camera(smears)
    assert given.about["identity"] == fitted.about["identity"] != synth.about["identity"]
    for name, values in fitted.camera.to_arrays().items():
        np.testing.assert_array_equal(given.camera.to_arrays()[name], values)
    assert synth.camera is None
    with pytest.raises(ValueError, match=r"these smears are .* this painter was fitted on"):
        synth.with_camera(smears[:3])


def test_a_painting_is_taken_as_the_smear_was_whose_background_it_has(smears, synth, monkeypatch):
    lens = synth.with_camera(smears).camera
    seen = []
    monkeypatch.setattr(type(lens), "take", lambda _, painted, rng, which=None: seen.append(which) or painted)
    with_one = replace(synth, camera=lens)
    for k, smear in enumerate(smears):
        features = np.repeat(synth.styles.backgrounds[k : k + 1], smear.count + 1, axis=0)
        with_one.paint(smear.instances, np.random.default_rng(0), features=features)
        own = np.square(synth.styles.backgrounds - features[0]).sum(axis=1)
        assert own[seen[-1]] == 0
    assert len(seen) == len(smears)


def test_a_smear_drawn_after_a_slide_has_its_looks_too(smears, synth, monkeypatch):
    layout = MaskGenerator.fit(smears, by_slide=True)
    slides = replace(synth, layout=layout)
    asked = []
    sample = synth.styles.sample

    def spy(*arguments, smear=None, **named):
        asked.append(smear)
        return sample(*arguments, smear=smear, **named)

    monkeypatch.setattr(type(synth.styles), "sample", lambda self, *arguments, **named: spy(*arguments, **named))
    for k in range(4):
        made, _ = slides.make(np.random.default_rng(k), None, None, None, "a", None)
        again = slides.draw_cells(np.random.default_rng(k))
        np.testing.assert_array_equal(made.instances, again.instances)
        assert asked[-1] == again.source
    styled = slides.draw_cells(np.random.default_rng(0), style=0)
    assert synth.styles.shares[styled.source, 0] > 0
    slides.config = replace(synth.config, style_draw="independent")
    assert slides.draw_cells(np.random.default_rng(0)).source is not None


def test_corrected_slides_are_not_passed_over_either(smears, tmp_path):
    write_folder(tmp_path / "mine", smears)
    (tmp_path / "mine" / "coco.json").unlink()
    Synthesizer.fit(bloodlib.load(tmp_path / "mine"), folder=tmp_path / "model", **SETTINGS)
    names = [smear.name for smear in smears]
    parts = {"fit": names, "groups": dict.fromkeys(names[:2], "one") | dict.fromkeys(names[2:], "two")}
    (tmp_path / "mine" / "splits.json").write_text(json.dumps(parts))
    with pytest.raises(ValueError, match="holds a model of other smears"):
        Synthesizer.fit(bloodlib.load(tmp_path / "mine"), folder=tmp_path / "model", **SETTINGS)


def test_a_folder_of_something_else_is_not_trained_in(smears, tmp_path):
    (tmp_path / "history.json").write_text("three years of work")
    with pytest.raises(ValueError, match="is not empty and holds no training"):
        Synthesizer.fit(smears, folder=tmp_path, **SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["history.json"]
    (tmp_path / "history.json").unlink()
    (tmp_path / "previews").mkdir()  # a training that was killed before its first checkpoint
    Synthesizer.fit(smears, folder=tmp_path, **SETTINGS)


def test_cells_that_are_no_red_ones_are_pointed_out_and_one_class_keeps_its_name(smears, tmp_path):
    def named(*names):
        return SmearFolder([s.name for s in smears], {s.name: s for s in smears}.get, class_names=names)

    with pytest.warns(DataWarning, match="'WBC', 'Platelets' are cells like any other.*cell_classes=3"):
        Synthesizer.fit(named("RBC", "WBC", "Platelets"), **SETTINGS)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        made = Synthesizer.fit(named("leukocyte"), **SETTINGS)
    made.write(tmp_path, count=1, seed=0)
    assert json.loads((tmp_path / "coco.json").read_text())["categories"] == [{"id": 1, "name": "leukocyte"}]


def test_what_a_longer_set_left_unlisted_is_taken_away(synth, tmp_path):
    synth.write(tmp_path, count=4, seed=7)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["smears"] = manifest["smears"][:1]  # as if killed before the other three were listed
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    synth.write(tmp_path, count=2, seed=7)
    assert len(bloodlib.load(tmp_path)) == 2
    assert len(json.loads((tmp_path / "coco.json").read_text())["images"]) == 2


def test_files_that_are_no_smear_of_a_set_are_never_taken_away(synth, tmp_path):
    synth.write(tmp_path, count=1, seed=0)
    mine = [tmp_path / kind / "real_01.png" for kind in ("images", "instances")]
    for path in mine:
        shutil.copy(tmp_path / path.parent.name / "00000.png", path)
    with pytest.raises(ValueError, match=r"real_01\.png: is no smear of this set; move it"):
        synth.write(tmp_path, count=2, seed=0)
    assert all(path.is_file() for path in mine)
    for path in mine:
        path.unlink()
    synth.write(tmp_path, count=2, seed=0)
    assert len(bloodlib.load(tmp_path)) == 2


def test_looks_can_be_drawn_otherwise_without_another_training(synth, tmp_path):
    assert synth.with_draw("joint") is synth
    paper, apart = synth.with_draw("independent"), synth.with_draw("per_cell")
    assert len({one.about["identity"] for one in (synth, paper, apart)}) == 3
    assert paper.about["identity"] == paper.config.digest(
        seed=synth.about["seed"], data=synth.about["data"]["fingerprint"]
    )
    looks = {}
    for name, one in (("one", paper), ("each", apart)):
        features, _ = one.styles.sample(np.random.default_rng(3), 40)
        looks[name] = len(np.unique(features[1:], axis=0))
    assert looks["one"] == 1 < looks["each"]
    paper.write(tmp_path, count=1, seed=0)
    with pytest.raises(ValueError, match=r"asked for is .* write to another folder"):
        synth.write(tmp_path, count=2, seed=0)
    with pytest.raises(ValueError, match="style_draw is 'any'"):
        synth.with_draw("any")


def test_what_no_reader_takes_is_not_painted(synth, tmp_path):
    with pytest.raises(ValueError, match="shape is 6000×5000 px; allowed are 25,000,000 px in all"):
        synth.write(tmp_path / "large", 1, seed=0, shape=(6000, 5000))
    with pytest.raises(ValueError, match="n_jobs"):
        synth.write(tmp_path / "none", 1, seed=0, workers=0)
    assert not list(tmp_path.iterdir())


def test_a_class_that_was_never_seen_is_refused_before_the_folder_is_begun(classed, tmp_path):
    kinds = np.where(classed.styles.kind == 2, 1, classed.styles.kind)  # none of the second class
    blind = replace(classed, styles=replace(classed.styles, kind=kinds))
    with pytest.raises(ValueError, match="classes asks for class 1, of which this painter has seen no cell"):
        blind.write(tmp_path / "set", 1, seed=0, classes={1: 1.0})
    assert not list(tmp_path.iterdir())


def test_what_a_system_leaves_in_folders_is_no_smear_and_no_model(synth, smears, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / ".DS_Store").touch()
    synth.write(tmp_path / "set", 1, seed=0)
    (tmp_path / "set" / "images" / "._00000.png").touch()
    synth.write(tmp_path / "set", 2, seed=0)
    assert len(bloodlib.load(tmp_path / "set")) == 2
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "._config.json").touch()
    Synthesizer.fit(smears, folder=tmp_path / "model", **SETTINGS)


def test_a_layout_that_was_fitted_before_can_be_given(smears):
    made = Synthesizer.fit(smears, layout={"layout": LayoutConstants(kind="uniform")}, **SETTINGS)
    assert made.layout.config.placement.kind == "uniform"


def test_a_camera_without_compression_makes_another_set(smears, synth, tmp_path):
    with_traces, without = (synth.with_camera(smears, compression=kept) for kept in (True, False))
    with_traces.write(tmp_path / "set", 1, seed=0)
    with pytest.raises(ValueError, match="write to another folder"):
        without.write(tmp_path / "set", 2, seed=0)


@pytest.mark.parametrize("shape", [(16, 40), (10, 200), (17, 16), (3, 3)])
def test_masks_with_a_short_side_are_painted(synth, shape):
    instances = np.zeros(shape, np.int32)
    instances[:2, :2] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        assert synth.paint(instances, np.random.default_rng(0)).shape == (*shape, 3)
