"""The command line does what it says, and bad input gets one sentence and a non-zero exit."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from joblib.externals.loky.process_executor import TerminatedWorkerError

import bloodlib
from bloodlib import cli
from bloodlib.io import read_instances, write_instances


@pytest.fixture
def smears(tmp_path):
    """A folder of four annotated smears, cut from the phantom."""
    from bloodlib.io import write_smear

    folder = tmp_path / "my_smears"
    for smear in bloodlib.load("phantom", split="fit")[:4]:
        write_smear(folder, smear)
    return folder


def test_list_names_every_set(capsys):
    assert cli.main(["data", "list"]) == 0
    assert {"phantom", "chula_rbc12", "bccd"} <= {line.split()[0] for line in capsys.readouterr().out.splitlines()}


def test_describe_prints_the_statistics_of_a_folder(smears, capsys):
    assert cli.main(["data", "describe", str(smears)]) == 0
    expected = bloodlib.describe(bloodlib.load(smears))
    assert f"cells per image {expected.count_mean:9.1f}".split() == capsys.readouterr().out.splitlines()[0].split()[:4]


def test_check_accepts_a_good_folder_and_names_what_is_wrong_with_a_bad_one(smears, capsys):
    assert cli.main(["data", "check", str(smears)]) == 0
    (victim, *_) = sorted((smears / "images").iterdir())
    victim.write_bytes(victim.read_bytes()[:200])
    capsys.readouterr()
    assert cli.main(["data", "check", str(smears)]) == 1
    assert victim.name in capsys.readouterr().out


def test_masks_are_written_and_the_same_for_the_same_seed(smears, tmp_path):
    for out in ("a", "b"):
        assert cli.main(["masks", str(smears), "-n", "2", "--size", "240x160", "-o", str(tmp_path / out)]) == 0
    first, second = ((tmp_path / out / "instances" / "00001.png").read_bytes() for out in ("a", "b"))
    assert first == second
    assert read_instances(tmp_path / "a" / "instances" / "00001.png").shape == (160, 240)


def test_masks_on_two_workers_by_another_law_are_those_of_the_library(smears, tmp_path, capsys):
    law = [
        "--placement",
        "adhesion",
        "--variant",
        "first",
        "--core",
        "zero",
        "--weights",
        "equal",
        "--overlap",
        "0.2",
        "--by-slide",
    ]
    folder = tmp_path / "out"
    arguments = ["masks", str(smears), "-n", "3", "--size", "200x150", "--workers", "2", *law, "-o", str(folder)]
    assert cli.main(arguments) == 0
    out, err = capsys.readouterr()
    assert f"3 masks in {folder}" in out
    assert "3/3" in err
    options = {"variant": "first", "core": "zero", "weights": "equal", "overlap": 0.2, "by_slide": True}
    masks = bloodlib.MaskGenerator.fit(bloodlib.load(smears), **options)
    expected = masks.draw(np.random.default_rng([0, 2]), (150, 200))
    assert np.array_equal(read_instances(folder / "instances" / "00002.png"), expected.instances)
    assert (folder / "coco.json").is_file()


def test_full_masks_are_told_in_one_sentence(smears, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bloodlib.MaskGenerator, "draw_count", lambda self, *_: 500)
    assert cli.main(["masks", str(smears), "-n", "2", "--size", "160x120", "-o", str(tmp_path / "out")]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("bloodlib:")]
    assert len(told) == 1
    assert "2 of 2 masks are full" in told[0]


def test_evaluate_prints_and_writes_the_scores(tmp_path, capsys):
    instances = np.zeros((30, 30), np.int32)
    instances[5:15, 5:15] = 1
    for folder in ("found", "truth"):
        write_instances(tmp_path / folder / "a.png", instances)
    arguments = ["evaluate", str(tmp_path / "found"), str(tmp_path / "truth"), "--json", str(tmp_path / "scores.json")]
    assert cli.main(arguments) == 0
    assert "Dice             1.0000" in capsys.readouterr().out
    assert json.loads((tmp_path / "scores.json").read_text())["F1"] == 1.0


def test_doctor_reports_versions_precision_data_and_weights(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("BLOODLIB_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("BLOODLIB_WEIGHTS", str(tmp_path))
    assert cli.main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["bloodlib"] == bloodlib.__version__
    assert report["training precision"] in {"bfloat16", "float32"}
    assert report["data sets"]["bccd"] == "0 of 733 files"
    assert report["weights"]["squeezenet1_0.safetensors"].startswith("not found: set BLOODLIB_WEIGHTS")
    (tmp_path / "squeezenet1_0.safetensors").touch()
    assert cli.main(["doctor"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["squeezenet1_0.safetensors", "found"] in lines


def test_free_room_is_told_of_the_nearest_folder_that_is_there(tmp_path, monkeypatch):
    from bloodlib.cli_doctor import _free

    assert _free(tmp_path / "not" / "yet").endswith(" GB free")
    monkeypatch.setattr(Path, "exists", lambda self: False)  # a drive that is not mounted has no folder above it
    assert _free(tmp_path) == "not there"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["data", "describe", "nope"], "phantom"),
        (["data", "fetch", "nope"], "chula_rbc12"),
        (["data", "check", "no/such/folder"], "no/such/folder"),
        (["generate", "no/such/model", "-o", "out"], "no/such/model"),
        (["masks", "phantom", "--overlap", "2", "-o", "out"], "overlap=2.0"),
        (["evaluate", "no/such/folder", "no/such/folder"], "no/such/folder"),
        (["fit", "phantom", "--set", "colours=3", "-o", "out"], "allowed are filters, blocks"),
        (["fit", "phantom", "--set", "stages=3", "-o", "out"], "no such setting"),
        (["fit", "phantom", "--set", "filters=many", "-o", "out"], "filters=many: needed is a number (int)"),
        (["fit", "phantom", "--set", "flips=2", "-o", "out"], "flips=2: needed is yes or no"),
        (["fit", "phantom", "--set", "perceptual=vgg", "-o", "out"], "vgg19, squeezenet"),
        (["fit", "chula_rbc12", "--size", "640x480", "-o", "out"], "--size is for the phantom"),
        (["fit", "phantom", "--profile", "smoke", "--set", "perceptual=squeezenet", "-o", "out"], "BLOODLIB_WEIGHTS"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_1(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BLOODLIB_WEIGHTS", raising=False)
    assert cli.main(arguments) == 1
    out, err = capsys.readouterr()
    told = (out + err).strip().splitlines()
    assert sentence in told[0]
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_warnings_are_sentences_while_a_command_runs(monkeypatch, capsys):
    written = []
    monkeypatch.setattr(
        cli.commands,
        "data_list",
        lambda chosen: written.append(warnings.formatwarning(UserWarning("crops are smaller"), UserWarning, "x.py", 1)),
    )
    usual = warnings.formatwarning
    assert cli.main(["data", "list"]) == 0
    assert written == ["bloodlib: crops are smaller\n"]
    assert warnings.formatwarning is usual


def test_too_little_memory_gets_one_sentence_and_other_faults_of_ours_a_traceback(tmp_path, monkeypatch, capsys):
    def fails(error):
        def run(chosen):
            raise error

        return run

    for error in (MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), TerminatedWorkerError("SIGKILL(-9)")):
        monkeypatch.setattr(cli.commands, "data_list", fails(error))
        assert cli.main(["data", "list"]) == 1
        assert "there is not memory enough" in capsys.readouterr().err
    monkeypatch.setattr(cli.commands, "data_list", fails(RuntimeError("a fault")))
    with pytest.raises(RuntimeError, match="a fault"):
        cli.main(["data", "list"])


@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [
        ("-n", "0", "whole number of at least 1"),
        ("--size", "9", "WIDTHxHEIGHT"),
        ("--workers", "0", "-1 for every core"),
        ("--seed", "-1", "no seed; write a whole number of 0 or more"),
        ("--variant", "second", "choose from"),
    ],
)
def test_bad_numbers_are_refused_before_anything_runs(option, value, hint, capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        cli.main(["masks", "phantom", "-o", str(tmp_path / "out"), option, value])
    assert stop.value.code == 2
    assert hint in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_whose_mask_differs_in_size_is_named(smears, capsys):
    victim = sorted((smears / "images").iterdir())[0]
    cv2.imwrite(str(victim), np.full((20, 30, 3), 200, np.uint8))
    assert cli.main(["masks", str(smears), "-o", str(smears / "out")]) == 1
    assert victim.name in capsys.readouterr().err
    assert not (smears / "out").exists()


def test_the_papers_training_is_one_command(monkeypatch):
    asked = {}

    def fit(smears, profile, folder, seed, devices, start_from, **overrides):
        asked.update(smears=smears, profile=profile, overrides=overrides, begun=(devices, start_from))

    monkeypatch.setattr(bloodlib.Synthesizer, "fit", fit)
    data = ["phantom", "--split", "train", "--size", "1920x1200"]
    settings = ["--set", "perceptual=squeezenet", "--set", "lambda_colour=10", "--set", "flips=no"]
    assert cli.main(["fit", *data, "--profile", "paper", *settings, "-o", "paper"]) == 0
    assert len(asked["smears"]) == 60
    assert asked["smears"][0].image.shape == (1200, 1920, 3)
    assert asked["profile"] == "paper"
    assert asked["overrides"] == {"perceptual": "squeezenet", "lambda_colour": 10.0, "flips": False}
    assert asked["begun"] == (1, None)


def test_a_setting_without_a_value_is_refused_before_anything_runs(capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        cli.main(["fit", "phantom", "--set", "perceptual", "-o", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert "NAME=VALUE" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::bloodlib.sampler.masks.CrowdedWarning")
def test_fit_generate_evaluate_from_a_folder_to_scores(smears, tmp_path, capsys, monkeypatch):
    from bloodlib.gan.config import PRESETS, GanConfig, Stage

    stages = (Stage(crop=64, steps=2, constant=1.0), Stage(crop=64, steps=1))
    tiny = GanConfig(stages=stages, filters=2, blocks=1, perceptual="none", precision="float32")
    monkeypatch.setitem(PRESETS, "smoke", tiny)
    model, made = str(tmp_path / "model"), tmp_path / "made"
    assert cli.main(["fit", str(smears), "--profile", "smoke", "--set", "feature_channels=4", "-o", model]) == 0
    assert bloodlib.Synthesizer.load(model).config.feature_channels == 4
    options = ["-n", "2", "--size", "128x96", "--style", "1", "--seed", "5"]
    assert cli.main(["generate", model, *options, "-o", str(made)]) == 0
    assert json.loads((made / "manifest.json").read_text())["smears"][1]["style"] == 1
    assert bloodlib.load(made)[0].image.shape == (96, 128, 3)
    capsys.readouterr()
    assert cli.main(["evaluate", str(made), str(made)]) == 0
    assert "Dice             1.0000" in capsys.readouterr().out


@pytest.fixture
def classed(tmp_path):
    """A model that was told three classes of cells, and saw cells of two of them."""
    from dataclasses import replace

    from bloodlib.gan.config import Stage
    from bloodlib.smears import SmearFolder

    cells = bloodlib.load("phantom", split="fit", shape=(160, 240))[:3]
    mixed = {x.name: replace(x, classes=np.resize([0, 2], x.count)) for x in cells}
    smears = SmearFolder(list(mixed), mixed.get, class_names=("round", "oval", "tear"))
    settings = {"stages": (Stage(crop=64, steps=1, constant=1.0), Stage(crop=64, steps=1)), "filters": 2, "blocks": 1}
    bloodlib.Synthesizer.fit(smears, folder=tmp_path / "classed", cell_classes=3, progress=False, **settings)
    return str(tmp_path / "classed")


@pytest.mark.filterwarnings("ignore::bloodlib.sampler.masks.CrowdedWarning")
def test_a_mix_of_classes_is_generated_and_what_was_never_seen_is_refused(classed, tmp_path, capsys):
    made = tmp_path / "made"
    assert cli.main(["generate", classed, "-n", "1", "--classes", "2:1", "-o", str(made)]) == 0
    assert set(bloodlib.load(made)[0].classes) == {2}
    assert cli.main(["generate", classed, "-n", "1", "--classes", "0:1, 2:3", "-o", str(tmp_path / "both")]) == 0
    assert set(bloodlib.load(tmp_path / "both")[0].classes) == {0, 2}
    for asked in ("1:1,2:1", "3:1"):
        capsys.readouterr()
        assert cli.main(["generate", classed, "--classes", asked, "--dry-run", "-o", str(tmp_path / "not")]) == 1
        told = capsys.readouterr().err
        assert f"--classes {asked}: the model has seen no cell of class {asked[0]}" in told
        assert "allowed are 0 (round), 2 (tear)" in told
    assert not (tmp_path / "not").exists()


def test_a_mix_is_refused_for_a_model_of_one_class(capsys, tmp_path):
    if not bloodlib.released():
        pytest.skip("no released model")
    arguments = ["generate", bloodlib.released()[0], "--classes", "0:1", "-o", str(tmp_path / "out")]
    assert cli.main(arguments) == 1
    assert "does not tell classes of cells apart" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mix", ["4", "4:", "a:1", "4:-1", "4:nan", "4:1,,7:2", "4:1,4:2", "-1:2"])
def test_a_mix_that_cannot_be_read_is_refused_before_anything_runs(mix, capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        cli.main(["generate", "no/such/model", f"--classes={mix}", "-o", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert "such as 4:1,7:2" in capsys.readouterr().err


def test_help_reads_like_a_page(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--help"])
    assert stop.value.code == 0
    page = capsys.readouterr().out
    for word in (
        "bloodlib data check my_smears",
        "exit codes:",
        "130  interrupted",
        "--dry-run",
        "masks/ (a colour per",
    ):
        assert word in page
    assert max(map(len, page.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["data", "fetch", "bccd"], "would download 733 files"),
        (
            ["data", "convert", "SET", "--voc", "-o", "out"],
            "would write 4 smears to out/: images, instances, coco.json, a",
        ),
        (["masks", "SET", "-n", "7", "-o", "out"], "would measure 4 smears of my_smears and write 7 masks to out"),
        (["fit", "SET", "--profile", "smoke", "-o", "out"], "would train on 4 smears of my_smears"),
    ],
)
def test_a_dry_run_says_what_would_be_done_and_writes_nothing(smears, arguments, says, capsys, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("BLOODLIB_DATA", str(tmp_path / "cache"))
    assert cli.main([str(smears) if a == "SET" else a for a in arguments] + ["--dry-run"]) == 0
    assert says in capsys.readouterr().out
    assert not list(here.iterdir())
    assert not (tmp_path / "cache").exists()


def test_a_dry_run_of_generate_counts_what_is_there(capsys, tmp_path):
    if not bloodlib.released():
        pytest.skip("no released model")
    arguments = ["generate", bloodlib.released()[0], "-n", "9", "-o", str(tmp_path), "--dry-run"]
    assert cli.main(arguments) == 0
    assert "would write 9 smears of 640×480 px" in capsys.readouterr().out
    head = {"model": bloodlib.Synthesizer.load(arguments[1]).about["identity"], "shape": [480, 640], "style": None}
    (tmp_path / "manifest.json").write_text(json.dumps({**head, "seed": 0, "smears": [{}, {}]}))
    assert cli.main(arguments) == 0
    assert "would write 7 smears" in capsys.readouterr().out
    assert cli.main([*arguments, "--seed", "1"]) == 1
    assert "says {'model'" in capsys.readouterr().err
    (tmp_path / "manifest.json").write_text('{"seed": 0, "shape": [480, 640], "masks": []}')
    assert cli.main(arguments) == 1
    assert "is not that of a set of smears" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


def test_a_set_is_converted_with_its_boxes(smears, tmp_path):
    from bloodlib.io import read_voc

    out = tmp_path / "out"
    assert cli.main(["data", "convert", str(smears), "--voc", "-o", str(out)]) == 0
    for before, after in zip(bloodlib.load(smears), bloodlib.load(out), strict=True):
        assert np.array_equal(before.instances, after.instances)
        assert len(read_voc(out / "annotations" / f"{after.name}.xml").labels) == after.count
    assert not (out / ".converting.json").exists()
    for more in ([], ["--dry-run"]):
        assert cli.main(["data", "convert", str(smears), "-o", str(out), *more]) == 1


@pytest.mark.parametrize("stopped_at", ["masks", "boxes"])
def test_a_conversion_that_was_stopped_is_begun_anew_also_without_the_smear_at_fault(
    smears, stopped_at, tmp_path, monkeypatch, capsys
):
    import bloodlib.io

    name = "write_folder" if stopped_at == "masks" else "write_voc"
    write, out, convert = getattr(bloodlib.io, name), tmp_path / "out", ["data", "convert", str(smears)]

    def stopped(*given, **options):
        write(*given, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(bloodlib.io, name, stopped)
    assert cli.main([*convert, "--voc", "-o", str(out)]) == 130
    monkeypatch.setattr(bloodlib.io, name, write)
    for kind in ("images", "instances"):
        sorted((smears / kind).iterdir())[0].unlink()
    assert cli.main([*convert, "-o", str(out)]) == 0
    assert cli.main([*convert, "-o", str(tmp_path / "whole")]) == 0
    listed = [sorted(str(p.relative_to(x)) for p in x.rglob("*") if p.is_file()) for x in (out, tmp_path / "whole")]
    assert listed[0] == listed[1]
    for path in listed[0]:
        assert (out / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()


def test_a_conversion_keeps_the_parts_of_a_folder(smears, tmp_path, capsys):
    parted(smears)
    for part, out in (("all", tmp_path / "all"), ("test", tmp_path / "some")):
        assert cli.main(["data", "convert", str(smears), "--split", part, "-o", str(out)]) == 0
        assert "coco.json, splits.json" in capsys.readouterr().out
    for part in ("fit", "validation", "test"):
        assert bloodlib.load(tmp_path / "all", split=part).names == bloodlib.load(smears, split=part).names
    assert bloodlib.load(tmp_path / "some", split="test").names == bloodlib.load(tmp_path / "some").names


def test_a_conversion_keeps_the_fixed_parts_of_a_known_set(tmp_path, monkeypatch, capsys):
    small = {
        part: bloodlib.load("phantom", split=part, shape=(64, 80)) for part in ("all", "fit", "validation", "test")
    }
    monkeypatch.setattr(bloodlib, "load", lambda name, split: small[split].select(range(0, len(small[split]), 20)))
    assert cli.main(["data", "convert", "phantom", "-o", str(tmp_path / "out")]) == 0
    monkeypatch.undo()
    assert "coco.json, splits.json" in capsys.readouterr().out
    for part in ("fit", "validation", "test"):
        kept = bloodlib.load(tmp_path / "out", split=part).names
        assert kept
        assert set(kept) <= set(bloodlib.load("phantom", split=part).names)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--layout", "fitted", "--core", "zero"], "--core would not be looked at: --layout fitted chooses it"),
        (["--layout", "fitted", "--snap", "0.5"], "--snap would not be looked at: --layout fitted chooses it"),
        (["--placement", "uniform", "--variant", "first"], "--variant would not be looked at: it is of Eq. 3"),
        (["--overlap-share", "0.5"], "--overlap-share would not be looked at: it is of cells that may lie on others"),
    ],
)
def test_an_option_of_masks_that_another_makes_idle_is_refused(options, said, smears, tmp_path, capsys):
    assert cli.main(["masks", str(smears), "-o", str(tmp_path / "out"), *options]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("mark", ['{"set": "another", "smears": []}', "[]"])
def test_a_conversion_of_another_set_is_not_gone_on_with(smears, mark, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".converting.json").write_text(mark)
    assert cli.main(["data", "convert", str(smears), "-o", str(out)]) == 1
    assert "convert to another folder" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == [".converting.json"]


def parted(smears):
    """Say which of the four smears are for tests."""
    names = sorted(path.stem for path in (smears / "images").iterdir())
    (smears / "splits.json").write_text(json.dumps({"fit": names[:2], "validation": names[2:3], "test": names[3:]}))


@pytest.mark.parametrize(("command", "number"), [("fit", 2), ("masks", 2), ("data convert", 4)])
def test_commands_take_the_part_that_is_theirs_of_a_folder_with_splits(smears, command, number, tmp_path, capsys):
    arguments = [*command.split(), str(smears), "-o", str(tmp_path / "out"), "--dry-run"]
    assert cli.main(arguments) == 0
    assert " 4 smears" in capsys.readouterr().out, "without splits.json a folder is taken whole"
    parted(smears)
    assert cli.main(arguments) == 0
    assert f" {number} smears" in capsys.readouterr().out
    assert cli.main([*arguments, "--split", "test"]) == 0
    assert " 1 smears" in capsys.readouterr().out


def test_the_table_of_a_folder_with_splits_is_that_of_its_training_smears(smears, capsys):
    parted(smears)
    assert cli.main(["data", "describe", str(smears)]) == 0
    expected = bloodlib.describe(bloodlib.load(smears, split="train"))
    assert f"{expected.count_mean:.1f}" in capsys.readouterr().out.splitlines()[0].split()


def test_a_set_is_not_loaded_whole_because_a_folder_has_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "phantom").mkdir()
    assert cli.main(["masks", "phantom", "-o", "out", "--dry-run"]) == 0
    assert f"would measure {len(bloodlib.load('phantom', split='fit'))} smears" in capsys.readouterr().out


@pytest.mark.parametrize(("command", "default"), [("fit", "fit"), ("masks", "fit"), ("data describe", "train")])
def test_the_help_names_the_part_that_is_taken(command, default, capsys):
    with pytest.raises(SystemExit):
        cli.main([*command.split(), "--help"])
    page = " ".join(capsys.readouterr().out.split())
    assert f"or all (default {default}; all of a folder without splits.json)" in page


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_masks_never_replace_what_somebody_has_drawn(smears, more, capsys):
    before = {path: path.read_bytes() for path in smears.rglob("*") if path.is_file()}
    assert cli.main(["masks", str(smears), "-n", "1", "-o", str(smears), *more]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in smears.rglob("*") if path.is_file()} == before


def test_masks_of_another_seed_are_refused_before_anything_is_measured(smears, tmp_path, monkeypatch, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text('{"seed": 0, "shape": [300, 480], "masks": []}')
    monkeypatch.setattr(bloodlib.MaskGenerator, "fit", lambda *_, **__: pytest.fail("it measures"))
    assert cli.main(["masks", str(smears), "-o", str(tmp_path / "out"), "--dry-run"]) == 0
    assert cli.main(["masks", str(smears), "-o", str(tmp_path / "out"), "--seed", "1"]) == 1
    assert "asked for is {'seed': 1}" in capsys.readouterr().err


def test_a_plan_says_that_crops_shrink_and_refuses_smears_that_are_too_small(smears, tmp_path, capsys):
    plan = ["fit", "phantom", "--profile", "laptop", "-o", str(tmp_path / "out"), "--dry-run"]
    assert cli.main([*plan, "--size", "90x70"]) == 0
    assert "crops are 64 px wide instead of 256 px, since a smear has a side of 70 px" in capsys.readouterr().out
    for path in smears.glob("*/*.png"):
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[:30])
    plan[1] = str(smears)
    assert cli.main(plan) == 1
    assert "needed are 32 px at least" in capsys.readouterr().err


def test_a_dry_run_of_evaluate_writes_no_scores(tmp_path, capsys):
    arguments = ["evaluate", "found", "truth", "--json", str(tmp_path / "scores.json"), "--dry-run"]
    assert cli.main(arguments) == 0
    assert f"would score the masks in found against those in truth and write the scores to {tmp_path}" in (
        capsys.readouterr().out
    )
    assert not list(tmp_path.iterdir())


def test_completion_knows_commands_and_options(tmp_path):
    from bloodlib.cli_completion import SHELLS, script, words

    parser = cli._parser()
    found = dict(words(parser))
    assert {"data", "masks", "fit", "generate", "evaluate", "doctor"} <= set(found[()])
    assert {"fetch", "check", "convert"} <= set(found[("data",)])
    assert "--dry-run" in found[("data", "convert")]
    for shell in SHELLS:
        assert "data convert" in script(parser, shell) or "seen_subcommand_from convert" in script(parser, shell)


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("da", {"data"}),
        ("data con", {"convert"}),
        ("generate --dr", {"--dry-run", "--draw"}),
        ("data convert --v", {"--voc"}),
    ],
)
def test_bash_completes_what_is_typed(typed, offered):
    from bloodlib.cli_completion import script

    line = ["bloodlib", *typed.split()]
    ask = f'COMP_WORDS=({" ".join(line)}); COMP_CWORD={len(line) - 1}; _bloodlib; echo "${{COMPREPLY[@]}}"'
    whole = script(cli._parser(), "bash") + ask
    done = subprocess.run(["bash"], input=whole, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == offered


def test_a_name_that_the_output_cannot_hold_ends_no_command(smears, tmp_path, monkeypatch):
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", narrow)
    assert cli.main(["masks", str(smears), "-n", "1", "-o", str(tmp_path / "血")]) == 0
    narrow.flush()
    assert b"\\u8840" in narrow.buffer.getvalue()
