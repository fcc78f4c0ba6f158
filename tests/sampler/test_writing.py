"""Written masks: the same bytes on any number of workers, whole files, one warning, amodal cells that read back."""

import json
import warnings
from dataclasses import replace

import joblib
import numpy as np
import pytest
from faster_coco_eval.core import mask as rle

from bloodlib.io import read_coco, read_image, read_instances
from bloodlib.io.labels import colours_to_instances
from bloodlib.sampler.masks import CrowdedWarning, MaskConfig, MaskGenerator
from bloodlib.sampler.placement import PlacementConfig
from bloodlib.sampler.shapes import ShapeConfig, ShapeDatabase

DISC = np.hypot(*np.mgrid[-6:7, -6:7]) <= 6.2


@pytest.fixture
def masks():
    config = MaskConfig(14, 3, (60, 80), PlacementConfig(cell_size_px=13.0, n_init=3))
    return MaskGenerator(ShapeDatabase([DISC, np.ones((9, 13), bool)], ShapeConfig()), config)


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert not [path for path in files if path.name.startswith(".partial")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_what_is_written_reads_back(masks, tmp_path):
    masks.write(tmp_path, count=3, seed=9)
    for k in range(3):
        mask = masks.sample(np.random.default_rng([9, k]))
        assert np.array_equal(read_instances(tmp_path / "instances" / f"0000{k}.png"), mask.instances)
        colours = read_image(tmp_path / "masks" / f"0000{k}.png")
        assert np.array_equal(colours, mask.colours)
        assert colours_to_instances(colours).max() == mask.placed
    facts = json.loads((tmp_path / "manifest.json").read_text())
    assert (facts["seed"], facts["shape"]) == (9, [60, 80])
    assert facts["masks"][2] == {"name": "00002", "requested": mask.requested, "placed": mask.placed}
    assert len(contents(tmp_path)) == 7


def test_any_number_of_workers_writes_the_same_bytes(masks, tmp_path):
    masks.write(tmp_path / "one", count=6, seed=4)
    masks.write(tmp_path / "two", count=6, seed=4, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert contents(tmp_path / "one")["masks/00000.png"] != contents(tmp_path / "one")["masks/00001.png"]


def test_a_mask_depends_on_its_own_number_only(masks, tmp_path):
    masks.write(tmp_path / "few", count=2, seed=4)
    masks.write(tmp_path / "more", count=4, seed=4)
    few, more = contents(tmp_path / "few"), contents(tmp_path / "more")
    assert all(more[name] == few[name] for name in few if name != "manifest.json")


def test_an_existing_dask_cluster_does_the_work(masks, tmp_path):
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    masks.write(tmp_path / "here", count=4, seed=4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the cluster's own
        cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None)
        with cluster, distributed.Client(cluster) as client, joblib.parallel_config(backend="dask"):
            masks.write(tmp_path / "there", count=4, seed=4)
            run = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.task_prefixes))
    assert any("write_some" in name for name in run)
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


def test_one_warning_for_the_whole_set(masks, tmp_path):
    masks.config = replace(masks.config, count_mean=400.0)
    with pytest.warns(CrowdedWarning, match=r"3 of 3 masks are full .* such as 00000; manifest\.json") as caught:
        masks.write(tmp_path, count=3, seed=0)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    for one in json.loads((tmp_path / "manifest.json").read_text())["masks"]:
        assert one["placed"] == read_instances(tmp_path / "instances" / f"{one['name']}.png").max() < one["requested"]


def test_progress_counts_masks(masks, tmp_path, capsys):
    masks.write(tmp_path, count=3, seed=0, progress=True)
    assert "3/3" in capsys.readouterr().err
    masks.write(tmp_path, count=3, seed=0)
    assert capsys.readouterr().err == ""


def test_amodal_cells_are_written_whole_and_as_seen(masks, tmp_path):
    masks.config = replace(masks.config, overlap=0.3, count_mean=25.0)
    masks.write(tmp_path, count=2, seed=1)
    content = json.loads((tmp_path / "coco.json").read_text())
    hidden = 0
    for number in (1, 2):
        mask = masks.sample(np.random.default_rng([1, number - 1]))
        cells = [a for a in content["annotations"] if a["image_id"] == number]
        assert len(cells) == mask.placed
        for k, cell in enumerate(cells):
            row, col, shape = mask.amodal[k]
            expected = np.zeros((120, 140), bool)
            expected[row + 30 : row + 30 + shape.shape[0], col + 30 : col + 30 + shape.shape[1]] = shape
            expected = expected[30:90, 30:110]
            whole, seen = (rle.decode(cell[key]).astype(bool) for key in ("segmentation", "visible_mask"))
            assert np.array_equal(whole, expected)
            assert np.array_equal(seen, mask.instances == cell["instance"])
            assert not (seen & ~whole).any()
            assert cell["area"] == whole.sum()
            assert cell["bbox"] == rle.toBbox(cell["segmentation"]).astype(int).tolist()
            assert cell["occlude_rate"] == pytest.approx(1 - seen.sum() / whole.sum(), abs=1e-4)
            hidden += cell["occlude_rate"] > 0
        # A reader that knows nothing of it paints whole cells in their order: the instance mask again.
        assert np.array_equal(read_coco(tmp_path / "coco.json").instances(f"0000{number - 1}")[0], mask.instances)
    assert hidden > 5


@pytest.mark.parametrize(
    "content", [None, '{"seed": 4, "shape": [60, 80], "smears": []}', "[]", '{"seed": 4, "masks": 3}']
)
def test_masks_replace_nothing_that_is_not_theirs(masks, tmp_path, content):
    (tmp_path / "instances").mkdir()
    (tmp_path / "instances" / "00000.png").write_bytes(b"a day of drawing")
    if content:
        (tmp_path / "manifest.json").write_text(content)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="write to another folder"):
        masks.write(tmp_path, count=1, seed=4)
    assert contents(tmp_path) == before


def test_masks_of_two_sets_are_not_mixed(masks, tmp_path):
    masks.write(tmp_path, count=4, seed=4)
    before = contents(tmp_path)
    for other in ({"count": 4, "seed": 5}, {"count": 4, "seed": 4, "shape": (50, 80)}):
        with pytest.raises(ValueError, match=r"manifest\.json: says .* asked for is .*; write to another folder"):
            masks.write(tmp_path, **other)
    for other in (replace(masks.config, overlap=0.3), replace(masks.config, count_mean=2.0)):
        with pytest.raises(ValueError, match=r"'generator': .*; write to another folder"):
            MaskGenerator(masks.shapes, other).write(tmp_path, count=4, seed=4)
    with pytest.raises(ValueError, match=r"'generator': .*; write to another folder"):
        MaskGenerator(ShapeDatabase(masks.shapes.shapes[::-1]), masks.config).write(tmp_path, count=4, seed=4)
    with pytest.raises(ValueError, match=r"holds instances/00001\.png, which 1 masks do not replace"):
        masks.write(tmp_path, count=1, seed=4)
    assert contents(tmp_path) == before
    masks.write(tmp_path, count=5, seed=4)
    assert len(json.loads((tmp_path / "manifest.json").read_text())["masks"]) == 5


def test_masks_that_were_begun_are_made_again(masks, tmp_path, monkeypatch):
    masks.write(tmp_path / "whole", count=3, seed=4)
    draw, drawn = type(masks).draw, []

    def stopped(self, *given):
        drawn.append(given)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return draw(self, *given)

    monkeypatch.setattr(type(masks), "draw", stopped)
    with pytest.raises(KeyboardInterrupt):
        masks.write(tmp_path / "parts", count=3, seed=4)
    masks.write(tmp_path / "parts", count=3, seed=4)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


@pytest.mark.parametrize("seed", [-1, 0.5, "1", None])
def test_an_impossible_seed_is_refused_before_anything_is_written(masks, tmp_path, seed):
    with pytest.raises(ValueError, match="a whole number of 0 or more is needed"):
        masks.write(tmp_path / "new", count=1, seed=seed)
    assert not (tmp_path / "new").exists()


def test_shapes_are_varied_as_their_database_says_on_any_number_of_workers(masks, tmp_path):
    still = ShapeDatabase(masks.shapes.shapes, ShapeConfig(scale=(1.0, 1.0), rotate=False, flip=False))
    other = MaskGenerator(still, masks.config)
    assert other.digest() != masks.digest()
    for workers in (1, 2):
        other.write(tmp_path / str(workers), 2, seed=0, workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
