"""Pictures, label images and colour masks: what is read is what was drawn, or a clear refusal."""

from __future__ import annotations

import warnings

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import ExifTags, Image, ImageOps
from scipy.ndimage import label as scipy_label
from skimage import io as skio

import bloodlib
from bloodlib.io import (
    LabelWarning,
    colours_to_instances,
    read_colours,
    read_image,
    read_instances,
    write_image,
    write_instances,
)
from bloodlib.io.images import image_size
from bloodlib.io.labels import mask_size, merged_cells
from bloodlib.smears import relabel


def discs(shape, *centres_and_radii):
    """Label discs 1, 2, …; later ones do not overwrite earlier ones."""
    rows, columns = np.indices(shape)
    instances = np.zeros(shape, np.int32)
    for identity, (row, column, radius) in enumerate(centres_and_radii, start=1):
        inside = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        instances[inside & (instances == 0)] = identity
    return instances


def paint(instances, *colours):
    return np.array([(0, 0, 0), *colours], np.uint8)[instances]


def many_cells():
    centres = [(20 + 40 * i, 20 + 40 * j, 15) for i in range(6) for j in range(8)]
    return discs((240, 320), *centres)


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)


# --- images


def test_image_comes_back_and_outside_readers_agree(tmp_path, image):
    write_image(tmp_path / "a.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)
    np.testing.assert_array_equal(skio.imread(tmp_path / "a.png"), image)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], image)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_a_picture_that_viewers_turn_is_refused(tmp_path, image, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(image).save(path, exif=exif)
    for read in (read_image, image_size):
        with pytest.raises(ValueError, match=rf"a\.{suffix}: its EXIF Orientation is {orientation}.*exif_transpose"):
            read(path)
    ImageOps.exif_transpose(Image.open(path)).save(tmp_path / f"b.{suffix}")  # the way out that is named
    assert read_image(tmp_path / f"b.{suffix}").shape[:2] in (image.shape[:2], image.shape[1::-1])


@pytest.mark.parametrize("orientation", [None, 0, 1, 9, b"Exif\0\0damaged"])
def test_pictures_that_nobody_turns_are_read(tmp_path, image, orientation):
    exif = orientation
    if not isinstance(orientation, bytes):
        exif = Image.Exif()
        exif[0x010F] = "maker"
        if orientation is not None:
            exif[0x0112] = orientation
    Image.fromarray(image).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)
    Image.fromarray(image).save(tmp_path / "a.jpg", exif=exif)
    assert image_size(tmp_path / "a.jpg") == image.shape[:2]


def test_palette_image_is_resolved_to_its_colours(tmp_path):
    picture = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8), "P")
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").tolist() == [[[10, 20, 30], [40, 50, 60]], [[40, 50, 60], [10, 20, 30]]]


@pytest.mark.parametrize(
    ("mode", "name", "found"),
    [
        ("L", "a.png", "grayscale"),
        ("1", "a.png", "black and white"),
        ("LA", "a.png", "grayscale with alpha"),
        ("RGBA", "a.png", "RGBA"),
        ("CMYK", "a.jpg", "CMYK"),
        ("I;16", "a.png", "grayscale of 16 bits"),
    ],
)
def test_image_that_is_not_rgb_is_refused(tmp_path, image, mode, name, found):
    if mode == "I;16":
        cv2.imwrite(str(tmp_path / name), image[..., 0].astype(np.uint16))
    else:
        Image.fromarray(image).convert(mode).save(tmp_path / name)
    with pytest.raises(ValueError, match=rf"a\.\w+: the image is .*{found}.*needed is RGB with 8 bits"):
        read_image(tmp_path / name)


def test_sixteen_bit_colour_is_refused_and_not_cut_to_its_high_bytes(tmp_path, image):
    cv2.imwrite(str(tmp_path / "a.png"), image.astype(np.uint16) * 16)
    with pytest.raises(ValueError, match=r"a\.png: the image is RGB with 16 bits per channel"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp"])
@pytest.mark.parametrize("kept", [0.9, 0.5, 0.01])
def test_truncated_image_is_refused(tmp_path, image, suffix, kept):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.tile(image, (4, 4, 1))).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ValueError, match=rf"a\.{suffix}: cannot be read as an image .* was it cut short"):
        read_image(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    (tmp_path / "b.png").touch()
    with pytest.raises(ValueError, match=r"a\.png: cannot be read as an image"):
        read_image(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"b\.png: the file is empty"):
        read_image(tmp_path / "b.png")
    with pytest.raises(FileNotFoundError, match=r"c\.png: there is no such file"):
        read_image(tmp_path / "c.png")


def test_several_pages_are_refused(tmp_path, image):
    page = Image.fromarray(image)
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page])
    with pytest.raises(ValueError, match=r"a\.tif: holds 2 pages"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8)])
def test_only_rgb_is_written_and_nothing_is_left(tmp_path, bad):
    with pytest.raises(ValueError, match=r"a\.png: the image is"):
        write_image(tmp_path / "a.png", bad)
    assert not list(tmp_path.iterdir())


def test_lossy_names_are_refused(tmp_path, image):
    with pytest.raises(ValueError, match=r"must end in \.png"):
        write_image(tmp_path / "a.jpg", image)


# --- label images


@given(
    hnp.arrays(
        np.int32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.sampled_from([0, 1, 255, 256, 65535]),
    )
)
def test_label_image_comes_back_numbered(tmp_path_factory, ids):
    path = tmp_path_factory.mktemp("labels") / "a.png"
    write_instances(path, ids)
    np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), ids)
    if not ids.any():
        with pytest.raises(ValueError, match="holds no cell"):
            read_instances(path)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LabelWarning)  # one id in several places
        instances = read_instances(path)
    assert instances.dtype == np.int32
    np.testing.assert_array_equal(instances, relabel(ids)[0])


@pytest.mark.parametrize(("dtype", "suffix"), [("uint8", "png"), ("uint8", "tif"), ("uint16", "tif"), ("int32", "tif")])
def test_other_label_files_are_read(tmp_path, dtype, suffix):
    ids = (discs((30, 50), (14, 14, 9), (14, 36, 9)) * 100).astype(dtype)
    path = tmp_path / f"a.{suffix}"
    skio.imsave(path, ids, check_contrast=False)
    np.testing.assert_array_equal(read_instances(path), ids // 100)


def test_indices_of_a_palette_are_ids(tmp_path):
    ids = discs((30, 50), (14, 14, 9), (14, 36, 9)).astype(np.uint8)
    picture = Image.fromarray(ids, "P")
    picture.putpalette([0, 0, 0, 200, 0, 0, 0, 0, 200])
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_instances(tmp_path / "a.png"), ids)


def test_ids_that_do_not_fit_are_refused_and_not_wrapped(tmp_path):
    for ids in (np.array([[0, 65536]]), np.array([[-1, 1]])):
        with pytest.raises(ValueError, match=r"a\.png: ids run from .* allowed in a 16-bit PNG are 0\.\.65535"):
            write_instances(tmp_path / "a.png", ids)
    with pytest.raises(ValueError, match="needed are integers"):
        write_instances(tmp_path / "a.png", np.zeros((3, 3)))
    assert not list(tmp_path.iterdir())


def test_colour_in_a_label_image_is_refused(tmp_path):
    write_image(tmp_path / "a.png", paint(discs((20, 20), (9, 9, 6)), (255, 0, 0)))
    with pytest.raises(ValueError, match=r"a\.png: the label mask is in colour .* put .* in masks/"):
        read_instances(tmp_path / "a.png")


def test_semantic_mask_among_labels_is_pointed_out(tmp_path):
    write_instances(tmp_path / "a.png", (discs((30, 50), (14, 14, 9), (14, 36, 9)) > 0) * 255)
    with pytest.warns(LabelWarning, match=r"a\.png: all 2 separate places have the one id 255.* masks/"):
        read_instances(tmp_path / "a.png")


def merged(case):
    """Label images in which one id stands for many cells, as careless saving makes them."""
    cells = many_cells()
    if case == "wrapped":  # as ids above 255 in 8 bits
        return cells % 32
    if case == "saturated":
        return np.minimum(cells, 20)
    for row in range(20, 240, 40 if case == "two kinds, touching" else 240):
        cells[row - 3 : row + 3, 20:60] = cells[row - 3 : row + 3, 180:220] = 1  # joins two cells
    return np.where(cells > 0, 1 + (np.arange(320) > 160), 0)


@pytest.mark.parametrize("case", ["wrapped", "saturated", "two kinds", "two kinds, touching"])
def test_ids_that_stand_for_cells_far_apart_are_reported(tmp_path, case):
    write_instances(tmp_path / "a.png", merged(case))
    with pytest.warns(LabelWarning, match=r"a\.png: the id \d+ lies in \d+ places of a cell's size, .* far apart"):
        read_instances(tmp_path / "a.png")


def test_cells_in_pieces_are_not_reported(tmp_path):
    cells = many_cells()
    cells[cells > 40] = 0
    cells[33:37, :170] = 0  # a scratch cuts a row of cells
    rows, columns = np.indices(cells.shape)
    cells[np.abs(rows - 60 - (columns - 60) / 3) < 7] = 41  # a long cell lies over others, whose parts look out
    cells[220, 300:302] = 1  # a crumb far away
    cells[(rows - 180) ** 2 + (columns - 230) ** 2 < 40**2] = 42  # a white cell, and a red one right across it
    cells[np.abs(rows - 180) < 15] = 43
    write_instances(tmp_path / "a.png", cells)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_instances(tmp_path / "a.png").max() == np.unique(cells).size - 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("large", [20, 45])
def test_cells_hidden_in_part_by_others_are_not_reported(tmp_path, seed, large):
    rng = np.random.default_rng(seed)
    cells = np.zeros((480, 640), np.int32)
    for k in range(1, 200):
        radius = large if k % 9 == 0 else 8 if k % 3 == 0 else 20
        centre = (int(rng.integers(640)), int(rng.integers(480)))
        cv2.ellipse(cells, centre, (radius, round(radius * 0.8)), float(rng.integers(180)), 0, 360, k, -1)
    assert sum(scipy_label(cells == k)[1] > 1 for k in range(1, 200)) > 10, "cells are cut"
    write_instances(tmp_path / "a.png", cells)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_instances(tmp_path / "a.png")


def test_sixteen_bit_colour_is_no_label_image(tmp_path):
    ids = (discs((30, 50), (14, 14, 9), (14, 36, 9)) * 300).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), np.dstack([ids] * 3))
    with pytest.raises(ValueError, match=r"a\.png: the label mask has several channels of 16 bits, .* as grey"):
        read_instances(tmp_path / "a.png")
    Image.fromarray(np.dstack([(ids // 100).astype(np.uint8)] * 3)).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_instances(tmp_path / "a.png"), ids // 300)


def test_a_mask_without_a_cell_is_read_where_it_may_be_empty(tmp_path):
    write_instances(tmp_path / "a.png", np.zeros((4, 6), np.int32))
    read = read_instances(tmp_path / "a.png", empty=True)
    assert (read.dtype, read.shape, read.any()) == (np.int32, (4, 6), False)
    with pytest.raises(ValueError, match="holds no cell"):
        read_instances(tmp_path / "a.png")


@pytest.mark.parametrize("reader", [read_instances, read_colours])
def test_mask_saved_as_jpeg_is_refused(tmp_path, reader):
    cells = many_cells()
    colours = np.random.default_rng(1).integers(60, 256, (cells.max(), 3))
    pixels = (cells * 5).astype(np.uint8) if reader is read_instances else paint(cells, *colours)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=90)
    with pytest.raises(ValueError, match=r"a\.jpg: the mask is a JPEG"):
        reader(tmp_path / "a.jpg")
    Image.open(tmp_path / "a.jpg").save(tmp_path / "b.png")  # the damage stays when it is saved again
    with pytest.raises(ValueError, match=r"b\.png: the mask holds \d{2,} different values, .* saved as JPEG"):
        reader(tmp_path / "b.png")


# --- colour masks


@given(hnp.arrays(np.int32, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 30)))
def test_one_colour_per_block_gives_one_cell_per_block(blocks):
    blocks = np.where(blocks > 0, np.arange(1, blocks.size + 1).reshape(blocks.shape), 0)  # all colours differ
    instances = np.kron(blocks, np.ones((3, 3), np.int32)).astype(np.int32)
    colours = np.stack([instances * 7 % 256, instances % 256, instances * 3 % 256], axis=2).astype(np.uint8)
    np.testing.assert_array_equal(colours_to_instances(colours), relabel(instances)[0])


def test_one_colour_in_two_places_is_two_cells():
    cells = discs((30, 60), (14, 14, 9), (14, 44, 9))
    np.testing.assert_array_equal(colours_to_instances(paint(cells, (9, 9, 9), (9, 9, 9))), cells)


def test_background_is_a_choice():
    cells = discs((30, 30), (14, 14, 9))
    white = np.where(cells[..., None] > 0, np.uint8(0), np.uint8(255)).repeat(3, axis=2)
    np.testing.assert_array_equal(colours_to_instances(white, background=(255, 255, 255)), cells)


@pytest.mark.parametrize("crowded", [False, True])
def test_background_that_is_neither_black_nor_transparent_is_reported(tmp_path, crowded):
    cells = discs((30, 60), (14, 14, 9), (16, 44, 10))
    if crowded:  # little of the border is background, but no pixel is black
        cells[:, :25] = cells[:, 35:] = 0
        cells[:, :25], cells[:, 35:] = 1, 2
    write_image(tmp_path / "a.png", np.array([[255] * 3, [200, 0, 0], [0, 0, 200]], np.uint8)[cells])
    with pytest.warns(LabelWarning, match=r"a\.png: one region covers \d+% of the picture's border.*the background"):
        read_colours(tmp_path / "a.png")
    np.testing.assert_array_equal(read_colours(tmp_path / "a.png", background=(255, 255, 255)), cells)


def test_a_cell_that_fills_the_picture_is_no_background(tmp_path):
    cells = discs((30, 30), (14, 14, 19))
    write_image(tmp_path / "a.png", paint(cells, (200, 0, 0)))
    np.testing.assert_array_equal(read_colours(tmp_path / "a.png"), cells)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
def test_colour_mask_is_read_in_any_exact_mode(tmp_path, mode):
    cells = discs((30, 50), (14, 14, 9), (16, 33, 10))
    picture = Image.fromarray(paint(cells, (250, 10, 10), (10, 250, 10)))
    picture.convert(mode, palette=Image.Palette.ADAPTIVE).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_colours(tmp_path / "a.png"), cells)


def test_transparent_is_background_and_half_transparent_is_refused(tmp_path):
    cells = discs((30, 30), (14, 14, 9))
    pixels = np.full((30, 30, 4), 200, np.uint8)
    pixels[..., 3] = np.where(cells, 255, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_colours(tmp_path / "a.png"), cells)
    pixels[0, :5, 3] = 120
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png: 5 pixels of the colour mask are half transparent"):
        read_colours(tmp_path / "a.png")


def test_mask_without_a_cell_is_refused(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(ValueError, match=r"a\.png: the mask holds no cell"):
        read_colours(tmp_path / "a.png")


def test_smooth_brush_is_refused(tmp_path):
    sharp = paint(many_cells(), *[(200, 30 + 4 * k, 90) for k in range(48)])
    write_image(tmp_path / "a.png", cv2.GaussianBlur(sharp, (3, 3), 0))
    with pytest.raises(ValueError, match=r"a\.png: .* smooth brush"):
        read_colours(tmp_path / "a.png")


@pytest.mark.parametrize("gap", [40, 36, 32])  # tangent discs of radius 20, then ever deeper joined
@pytest.mark.parametrize("others", [0, 5])
def test_touching_cells_of_one_colour_are_reported_where_they_are(tmp_path, gap, others):
    far = [(90, 25 + 50 * k, 20) for k in range(others)]
    cells = discs((120, 300), (30, 60, 20), (30, 60 + gap, 20), *far)
    colours = [(200, 0, 0), (200, 0, 0), *[(0, 0, 200)] * others]
    write_image(tmp_path / "a.png", paint(cells, *colours))
    place = rf"around column {60 + gap // 2}, row 30 "
    with pytest.warns(LabelWarning, match=rf"a\.png: the region {place}.*looks like touching cells") as caught:
        instances = read_colours(tmp_path / "a.png")
    assert len(caught) == 1
    assert instances.max() == 1 + others


def test_single_cells_of_many_shapes_are_not_reported(tmp_path):
    cells = np.zeros((200, 400), np.uint8)
    cv2.ellipse(cells, (60, 50), (40, 15), 30, 0, 360, 1, -1)  # elliptocyte
    cv2.circle(cells, (160, 50), 30, 2, -1)
    cv2.circle(cells, (160, 50), 12, 0, -1)  # ring
    cv2.ellipse(cells, (260, 60), (40, 40), 0, 200, 340, 3, 14)  # sickle
    cv2.circle(cells, (60, 150), 38, 4, -1)  # large
    cv2.circle(cells, (199, 180), 30, 5, -1)  # cut by the border
    write_image(tmp_path / "a.png", paint(cells, *[(50 * k, 0, 9) for k in range(1, 6)]))
    assert read_colours(tmp_path / "a.png").max() == 5


def test_cells_of_the_phantom_are_not_reported():
    smears = bloodlib.load("phantom", "test")[:40:10]
    assert sum(smear.count for smear in smears) > 100
    assert [merged_cells(smear.name, smear.instances) for smear in smears] == [[]] * 4


def test_cells_of_one_colour_that_meet_at_a_corner_are_one():
    mask = np.kron(np.eye(2, dtype=np.uint8), np.ones((4, 4), np.uint8))
    assert colours_to_instances(paint(mask, (9, 9, 9))).max() == 1


def test_a_background_that_is_not_nought_is_reported(tmp_path):
    cells = discs((30, 60), (14, 14, 9), (16, 44, 10))
    markers = cv2.watershed(np.zeros((*cells.shape, 3), np.uint8), np.where(cells > 0, cells + 1, 1).astype(np.int32))
    for ids in (cells + 1, markers.astype(np.uint16)):
        write_instances(tmp_path / "a.png", ids.astype(np.int32))
        with pytest.warns(LabelWarning, match=r"a\.png: one region covers \d+% of the picture's border.*the id 0"):
            read_instances(tmp_path / "a.png")
    write_instances(tmp_path / "a.png", cells)
    assert read_instances(tmp_path / "a.png").max() == 2


@pytest.mark.parametrize("reader", [read_instances, read_colours, mask_size])
def test_a_mask_that_viewers_turn_is_refused(tmp_path, reader):
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = 6
    Image.fromarray(discs((30, 60), (14, 14, 9)).astype(np.uint8)).save(tmp_path / "a.tif", exif=tags)
    with pytest.raises(ValueError, match=r"a\.tif: its EXIF Orientation is 6"):
        reader(tmp_path / "a.tif")


def test_black_cells_on_white_are_no_cell_of_the_size_of_the_picture(tmp_path):
    cells = many_cells()
    cv2.imwrite(str(tmp_path / "a.png"), np.where(cells > 0, 0, 255).astype(np.uint8))
    with pytest.warns(LabelWarning, match="covers 100% of the picture's border.*seems to be the background"):
        assert read_colours(tmp_path / "a.png").max() == 1
    for name, alone in (
        ("disc", discs((60, 60), (30, 30, 20))),
        ("ring", discs((60, 60), (30, 30, 20)) - discs((60, 60), (30, 30, 8))),
        ("a crop of one cell", np.ones((60, 60), np.int32)),
        ("over most of the border", discs((60, 60), (60, 30, 55))),
    ):
        cv2.imwrite(str(tmp_path / f"{name}.png"), (255 * alone).astype(np.uint8))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert read_colours(tmp_path / f"{name}.png").max() == 1


def test_sixteen_bits_are_refused_also_where_channels_are_stored_one_after_the_other(tmp_path):
    deep = np.random.default_rng(0).integers(0, 2**16, (3, 20, 30), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", planarconfig="separate")
    with pytest.raises(ValueError, match=r"a\.tif: the image is RGB with 16 bits per channel"):
        read_image(tmp_path / "a.tif")
    shallow = (deep >> 8).astype(np.uint8)
    tifffile.imwrite(tmp_path / "b.tif", shallow, photometric="rgb", planarconfig="separate")
    assert np.array_equal(read_image(tmp_path / "b.tif"), shallow.transpose(1, 2, 0))


@pytest.mark.parametrize("mode", ["LAB", "YCbCr", "CMYK"])
def test_colour_masks_of_other_colour_models_are_refused(tmp_path, mode):
    Image.new(mode, (30, 20)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=rf"a\.tif: the colour mask is of colour mode {mode}; save it as RGB"):
        read_colours(tmp_path / "a.tif")
