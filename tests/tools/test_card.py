"""The model card is one page with every number put in, in the book and beside the model."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from jinja2 import UndefinedError

from bloodlib.gan.styles import Styles
from tools import card, facts
from tools.layout import ROOT

HASHES = {"full": "aaaa", "released": "bbbb"}
ABOUT = {
    "profile": "laptop",
    "seed": 0,
    "identity": "0123-float16",
    "data": {"title": "Chula RBC-12", "smears": 40, "cells": 4217},
    "perceptual": "squeezenet",
    "precision": "bf16-mixed",
    "versions": {"torch": "2.0"},
    "released": {
        "name": card.MODEL,
        "precision": "float16",
        "licence": "BSD-3-Clause",
        "data_licence": "MIT",
        "device": "two cores",
        "steps": [2000, 2600],
        "seconds": 4980,
        "history_every": 3,
        "weights": {"generator": 3_210_000, "encoder": 790_000},
        "generator_hash": HASHES,
        "grey_levels": 0.041,
        "onnx": 2e-6,
    },
    "config": {"filters": 16},
    "layout": {},
    "files": {},
}
KID = {"values": {"within groups": {"mean": 0.1, "std": 0.2}, "repainted": {"mean": 1.234, "std": 0.3}}}
ROW = {"dice": 0.951, "dice_std": 0.01, "f1_50": 0.87, "f1_50_std": 0.02}
MEASURED = {
    "kid": {"test": KID},
    "mask_fidelity": {"real": ROW, "repainted": {**ROW, "dice": 0.948}},
    "roughness": {
        "real": {
            "cells": 322,
            "wavelengths_px": [[5.0, 10.0], [10.0, 20.0]],
            "picture_px": [0.038, 0.057],
            "mask_px": [0.09, 0.103],
        },
        "sampled": {"cells": 0, "wavelengths_px": [[5.0, 10.0], [10.0, 20.0]], "picture_px": [], "mask_px": []},
    },
    "nearest_training_image": {"sampled": {"nearest_to_second": {"painted": 0.912, "held_out": 0.934}}},
}
TOLD = {
    "paintings": "test masks",
    "observer": "a student",
    "painted": {"told_apart": 29, "n": 40, "share": 0.725, "interval": [0.561, 0.854], "p_value": 0.006},
}


@pytest.fixture
def root(tmp_path):
    """A checkout with the card's page, a released model and no results."""
    (tmp_path / "book").mkdir()
    shutil.copy(ROOT / card.PAGE, tmp_path / card.PAGE)
    folder = tmp_path / "data" / "models" / card.MODEL
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(ABOUT))
    (folder / "generator.safetensors").write_bytes(bytes(1_500_000))
    return tmp_path


def store(root, name, model_hash, result, identity="0123"):
    (root / card.RESULTS).mkdir(parents=True, exist_ok=True)
    model = {"generator_hash": model_hash, "identity": identity}
    (root / card.RESULTS / f"{name}.json").write_text(json.dumps({"model": model, **result}))


def test_the_card_says_how_the_model_was_made(root):
    text = card.write(root).read_text()
    assert "2,000 + 2,600 steps in 83 minutes on two cores" in text
    assert "40 smears with 4,217 cells" in text
    assert "generator 3.21 million" in text
    assert "0.041 of 255 grey levels" in text
    assert "| `generator.safetensors` |" in text
    assert text.count(card.NO_RESULT) == len(card.MEASURED)


def test_numbers_come_from_results_about_this_painter_alone(root):
    store(root, "mine", HASHES["released"], MEASURED)
    store(root, "mine-blind", HASHES["full"], TOLD)
    store(root, "mine-blind-sampled", HASHES["full"], {**TOLD, "paintings": "sampled smears"})
    store(root, "z-other", "cccc", {"kid": {"test": {"values": {"repainted": {"mean": 9.999, "std": 0}}}}})
    store(root, "z-without", HASHES["full"], {"kid": {"test": {"values": {}}}}, "4567")  # the same G, without a camera
    text = card.readme(root)
    for paintings in ("test masks", "sampled smears"):
        assert f"| {paintings} | 29 of 40 (56 to 85 %) | " in text
    assert "Who looked: a student." in text
    assert "| test part: real masks, painted in their own smear's looks | 1.234 | 0.300 |" in text
    assert "painted in their own smear's looks | 0.948 ± 0.010 | 0.870 ± 0.020 |" in text
    assert "| sampled whole: masks and looks drawn | 0.912 |" in text
    assert "| real | 0.057 px | 0.103 px |" in text
    assert "9.999" not in text
    assert card.NO_RESULT not in text


def test_the_readme_is_plain_markdown(root):
    text = card.readme(root)
    assert not re.search(r"\{\{|\}\}|\{\w+(:\w+)?\}`|^:::|^: ", text, flags=re.MULTILINE)
    assert "- **name**: `chula_rbc12-laptop`" in text
    assert "after Bailo et al. (2019)" in text
    assert "of all other files)\n\n## How to use it" in text
    assert "**Warning.** Not for diagnosis" in text


def test_a_value_that_nobody_gives_stops_the_card(root):
    with (root / card.PAGE).open("a") as page:
        page.write("\n{{ painter.fame }}\n")
    with pytest.raises(UndefinedError, match="fame"):
        card.readme(root)


def test_the_page_can_be_built_without_a_model(tmp_path):
    said = card.values(tmp_path)
    assert set(said) == set(re.findall(r"\{\{ painter\.(\w+)", (ROOT / card.PAGE).read_text()))
    assert facts.substitutions(ROOT)["painter"].keys() == said.keys()


def test_the_stored_card_says_what_is_stored_now():
    path = ROOT / "data" / "models" / card.MODEL / "README.md"
    if not path.parent.is_dir():
        pytest.skip(f"{card.MODEL} is not released in this checkout")
    assert path.read_text() == card.readme(ROOT), "write it again: python -m tools.release --card"


def test_the_example_without_torch_paints_what_torch_paints(tmp_path, monkeypatch):
    for module in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(module, reason="the ONNX export needs bloodlib[export]")
    import torch
    from safetensors.numpy import save_file

    from bloodlib.gan.config import preset
    from bloodlib.gan.export import export_generator
    from bloodlib.gan.training import make_painter, paint_instances

    torch.manual_seed(0)
    generator = make_painter(preset("laptop", filters=4, blocks=1))[0].eval()
    for weights in generator.parameters():
        weights.data.mul_(3)
    rng = np.random.default_rng(1)
    kinds = [np.array([0, 1, 1, 1, 2]), np.array([0, 1, 1])]
    looks = [rng.uniform(-1, 1, (len(k), 6 * 8)).astype(np.float32) for k in kinds]
    styles = Styles.fit(looks, clusters=2, kinds=kinds).to_arrays()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "models" / card.MODEL).mkdir(parents=True)
    save_file(styles, tmp_path / "data" / "models" / card.MODEL / "styles.safetensors")
    export_generator(generator, tmp_path / "painter.onnx")
    *_, example = re.findall(r"```python\n(.*?)```", (ROOT / card.PAGE).read_text(), flags=re.DOTALL)
    assert "torch" not in example
    seen: dict = {}
    exec(example, seen)

    looks = torch.from_numpy(np.concatenate([seen["background"], seen["cells"]]))
    kinds = np.minimum(np.arange(len(looks)), 1)

    class Noise:  # what the example drew
        def standard_normal(self, shape, dtype):
            return seen["given"]["noise"].reshape(shape)

    expected = paint_instances(generator, seen["instances"], looks, kinds, Noise())
    assert seen["image"].shape == expected.shape == (256, 384, 3)
    assert expected.std() > 3
    assert np.abs(seen["image"].astype(int) - expected).max() <= 1
