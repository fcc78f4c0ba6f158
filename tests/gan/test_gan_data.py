import numpy as np
import pytest
import torch

from bloodlib.gan.config import Stage
from bloodlib.gan.data import Crops, fingerprint, resized, to_image, to_network
from bloodlib.smears import Smear


def numbered(height=40, width=56, name="a"):
    """A smear in which the image tells the instance of every pixel, and its place."""
    instances = (np.arange(height)[:, None] // 20 * 3 + np.arange(width)[None] // 20 + 1).astype(np.int32)
    rows, columns = np.indices((height, width))
    return Smear(np.stack([instances, rows, columns], axis=2).astype(np.uint8), instances, name=name)


def test_images_pass_to_the_networks_and_back_unchanged():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    assert np.array_equal(to_image(to_network(image)), image)
    assert to_network(image).min() >= -1


@pytest.mark.parametrize("second", [False, True])
def test_image_mask_and_styles_are_cut_and_turned_together(second):
    smears = [numbered(name="a"), numbered(name="b")]
    styles = [torch.arange(7.0)[:, None] * torch.ones(3) for _ in smears] if second else None
    crops = Crops(smears, Stage(crop=32, batch=3, steps=1), rotations=True, styles=styles)
    corners = set()
    for seed in range(20):
        batch = crops.draw(np.random.default_rng(seed))
        image = torch.stack([torch.from_numpy(to_image(x)) for x in batch.image]).long()
        assert torch.equal(image[..., 0], batch.instances)
        if second:
            assert torch.equal(batch.features[:, 0], batch.instances.float())
        corners.add(tuple(image[0, 0, 0, 1:].tolist()))
    assert len(corners) > 10


def test_a_batch_is_decided_by_its_generator():
    crops = Crops([numbered(), numbered(name="b")], Stage(crop=32, batch=2, steps=1), rotations=True)
    first, again = (crops.draw(np.random.default_rng([0, 1, 2])) for _ in range(2))
    assert first.names == again.names
    assert torch.equal(first.image, again.image)


def test_whole_smears_are_padded_to_multiples_of_16():
    batch = Crops([numbered()], Stage(steps=1), flips=False).draw(np.random.default_rng(0))
    assert batch.image.shape == (1, 3, 48, 64)
    assert batch.instances[0, 47, 63] == batch.instances[0, 39, 55]


def test_resizing_never_makes_new_ids():
    image, instances = resized(numbered(), (23, 31))
    assert image.shape == (23, 31, 3)
    assert set(np.unique(instances)) <= set(range(1, 7))


def test_crops_larger_than_a_smear_are_refused():
    with pytest.raises(ValueError, match="crop is 64 px but a smear has a side of 40 px"):
        Crops([numbered()], Stage(crop=64, steps=1))


def test_the_fingerprint_sees_names_and_pixels():
    a, b = numbered(name="a"), numbered(name="b")
    brighter = Smear(a.image + 1, a.instances, name="a")
    assert len({fingerprint(s) for s in ([a], [b], [a, b], [b, a], [brighter])}) == 5
    assert fingerprint([a, b]) == fingerprint([numbered(name="a"), numbered(name="b")])
