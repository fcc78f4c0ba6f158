"""The command line: bloodlib data | masks | fit | generate | export | evaluate | doctor."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bloodlib
from bloodlib.sampler.placement import CORES, PLACEMENTS, VARIANTS, WEIGHTS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Returns
    -------
    int
        0 when it went well, 1 when the input was at fault (one sentence on standard error), 130 when interrupted.
    """
    chosen = _parser().parse_args(arguments)
    try:
        return chosen.run(chosen) or 0
    except (ValueError, OSError) as error:
        print(f"bloodlib: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bloodlib: interrupted; what was written is whole, call again to go on", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bloodlib", description="Labelled synthetic blood smears from a few annotated ones."
    )
    parser.add_argument("--version", action="version", version=f"bloodlib {bloodlib.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    data = commands.add_parser("data", help="list, download, check and describe data sets")
    data_commands = data.add_subparsers(required=True, metavar="ACTION")
    _add(data_commands, "list", _data_list, "the data sets that are known, and what of them is here")
    fetch = _add(data_commands, "fetch", _data_fetch, "download a set, every file checked against its SHA-256")
    fetch.add_argument("name")
    check = _add(data_commands, "check", _data_check, "name everything that is wrong with a folder of smears")
    check.add_argument("folder", type=Path)
    describe = _add(data_commands, "describe", _data_describe, "Table 1 of the paper for any set")
    _add_set(describe)

    masks = _add(commands, "masks", _masks, "write synthetic instance masks")
    _add_set(masks)
    _add_output(masks, count=10)
    masks.add_argument("--size", type=_size, metavar="WIDTHxHEIGHT", help="default: that of the smears")
    masks.add_argument("--workers", type=_workers, default=1, help="processes; -1 for one on each core (default 1)")
    law = {"placement": PLACEMENTS, "variant": VARIANTS, "core": CORES, "weights": WEIGHTS}
    for name, allowed in law.items():
        masks.add_argument(f"--{name}", choices=allowed, default=allowed[0], help=f"of Eq. 3 (default {allowed[0]})")
    masks.add_argument("--snap", type=float, default=0.0, help="probability that a cell slides to its neighbour")
    masks.add_argument("--overlap", type=float, default=0.0, help="share of a cell that another may cover")

    fit = _add(commands, "fit", _fit, "learn to make smears like those of a set")
    _add_set(fit)
    fit.add_argument("--profile", choices=("smoke", "laptop", "paper"), default="laptop")
    fit.add_argument("--size", type=_size, metavar="WIDTHxHEIGHT", help="of the phantom, which is rendered (480x300)")
    fit.add_argument(
        "--set",
        dest="settings",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="replace a setting of the profile (bloodlib.gan.config.GanConfig); may be repeated. Without internet: "
        "perceptual=squeezenet, from the folder that BLOODLIB_WEIGHTS names, or perceptual=none",
    )
    fit.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL")
    fit.add_argument("--seed", type=int, default=0)

    models = f"a folder that `bloodlib fit` wrote, or a released model: {', '.join(bloodlib.released()) or 'none yet'}"
    generate = _add(commands, "generate", _generate, "write labelled synthetic smears")
    generate.add_argument("model", help=models)
    _add_output(generate, count=10)
    generate.add_argument("--size", type=_size, metavar="WIDTHxHEIGHT", help="default: that of the fitted smears")
    generate.add_argument("--style", type=int, help="style cluster; drawn at random for each smear by default")

    export = _add(commands, "export", _export, "write the painter of a model as ONNX, for programs without torch")
    export.add_argument("model", help=models)
    export.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.onnx")

    evaluate = _add(commands, "evaluate", _evaluate, "score a folder of instance masks against another")
    evaluate.add_argument("predictions", type=Path)
    evaluate.add_argument("targets", type=Path)
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the scores here as well")

    _add(commands, "doctor", _doctor, "what this machine offers: versions, devices, precision, data")
    return parser


def _add(commands, name: str, run, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(run=run)
    return parser


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("set", help="name of a data set, or a folder with images/ and instances/")
    parser.add_argument("--split", default=None, help="fit, validation, train, test or all")


def _add_output(parser: argparse.ArgumentParser, count: int) -> None:
    parser.add_argument("-n", "--count", type=_positive, default=count, help=f"how many (default {count})")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--seed", type=int, default=0)


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write WIDTHxHEIGHT, such as 640x480")
    return int(height), int(width)


def _workers(text: str) -> int:
    if text != "-1" and (not text.isdigit() or int(text) < 1):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of workers; write 1 or more, or -1 for every core")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is no setting; write NAME=VALUE, such as perceptual=squeezenet")
    return name, value


def _overrides(settings: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Read settings of a painter by the kind of value that each takes."""
    from bloodlib.gan.config import GanConfig

    truth = {"yes": True, "true": True, "no": False, "false": False}
    kinds = {"bool": lambda text: truth[text.lower()], "float": float, "int": int, "int | None": int, "str": str}
    types = {name: field.type for name, field in GanConfig.__dataclass_fields__.items() if field.type in kinds}
    found = {}
    for name, text in settings:
        if name not in types:
            raise ValueError(f"--set {name}={text}: there is no such setting; allowed are {', '.join(types)}")
        try:
            found[name] = kinds[types[name]](text)
        except (KeyError, ValueError):
            needed = "yes or no" if types[name] == "bool" else f"a number ({types[name].split()[0]})"
            raise ValueError(f"--set {name}={text}: needed is {needed}") from None
    return found


def _load(chosen: argparse.Namespace, split: str, size: tuple[int, int] | None = None):
    """Load the set asked for: the part named on the command line, or the one that fits the command."""
    if size and chosen.set != "phantom":
        raise ValueError(f"--size is for the phantom, which is rendered; {chosen.set} has a size of its own")
    own_folder = Path(chosen.set).is_dir()
    options = {"shape": size} if size else {}
    return bloodlib.load(chosen.set, split=chosen.split or ("all" if own_folder else split), **options)


def _data_list(chosen: argparse.Namespace) -> None:
    from bloodlib.datasets import registry

    for entry in registry.available():
        here = registry.status(entry.name) if entry.megabytes else None
        state = "made here" if here is None else f"{here.present} of {here.present + here.missing} files here"
        print(f"{entry.name:18} {entry.holds:72} {entry.licence.split(' (')[0]:14} {entry.megabytes:5.1f} MB  {state}")
    print("A folder of your own with images/ and instances/ works wherever a name does.")


def _data_fetch(chosen: argparse.Namespace) -> None:
    from bloodlib.datasets import registry

    registry.fetch(chosen.name)
    state = registry.status(chosen.name)
    print(f"{state.name}: {state.present} files checked and in the cache")


def _data_check(chosen: argparse.Namespace) -> int:
    from bloodlib.io import check_folder

    findings = check_folder(chosen.folder, progress=True)
    for finding in findings:
        print(finding)
    errors = sum(finding.is_error for finding in findings)
    print(f"{chosen.folder}: {errors} errors, {len(findings) - errors} warnings")
    return 1 if errors else 0


def _data_describe(chosen: argparse.Namespace) -> None:
    from tqdm import tqdm

    smears = tqdm(_load(chosen, "train"), unit="smear", leave=False)
    for name, mean, spread in bloodlib.describe(smears).rows():
        print(f"{name:20} {mean:9.1f} ± {spread:.1f}")


def _masks(chosen: argparse.Namespace) -> None:
    from tqdm import tqdm

    names = ("placement", "variant", "core", "weights", "snap", "overlap")
    options = {name: getattr(chosen, name) for name in names}
    smears = tqdm(_load(chosen, "fit"), desc="reading", unit="smear", leave=False)
    generator = bloodlib.MaskGenerator.fit(smears, **options)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        generator.write(chosen.output, chosen.count, chosen.seed, chosen.size, workers=chosen.workers, progress=True)
    for sentence in dict.fromkeys(str(warning.message) for warning in told):
        print(f"bloodlib: {sentence}", file=sys.stderr)
    print(f"{chosen.count} masks in {chosen.output}")


def _fit(chosen: argparse.Namespace) -> None:
    overrides, smears = _overrides(chosen.settings), _load(chosen, "fit", chosen.size)
    bloodlib.Synthesizer.fit(smears, chosen.profile, chosen.output, chosen.seed, **overrides)
    print(f"Model in {chosen.output}; next: bloodlib generate {chosen.output} -n 900 -o synthetic")


def _generate(chosen: argparse.Namespace) -> None:
    synthesizer = bloodlib.Synthesizer.load(chosen.model)
    synthesizer.write(
        chosen.output, chosen.count, seed=chosen.seed, shape=chosen.size, style=chosen.style, progress=True
    )
    print(f"{chosen.count} labelled smears in {chosen.output}")


def _export(chosen: argparse.Namespace) -> int:
    from bloodlib.gan.export import TOLERANCE, export_generator, largest_difference

    synthesizer = bloodlib.Synthesizer.load(chosen.model)
    about = {"identity": synthesizer.about["identity"], "data": synthesizer.about["data"]["title"]}
    try:
        export_generator(synthesizer.generator, chosen.output, about)
        difference = largest_difference(synthesizer.generator, chosen.output)
    except ImportError as error:
        raise ValueError(error) from error
    print(f"{chosen.output}: differs from torch by at most {difference:.1g} of the range [-1, 1]")
    return 0 if difference <= TOLERANCE else 1


def _evaluate(chosen: argparse.Namespace) -> None:
    from bloodlib.evaluators.folders import evaluate_folders

    scores = evaluate_folders(chosen.predictions, chosen.targets)
    for name, value in scores.items():
        print(f"{name:16} {value:.4f}" if isinstance(value, float) else f"{name:16} {value}")
    if chosen.json:
        from bloodlib._files import write_json

        write_json(chosen.json, scores)


def _doctor(chosen: argparse.Namespace) -> None:
    import torch

    from bloodlib.gan.precision import autocast_dtype

    device = "cuda" if torch.cuda.is_available() else "cpu"
    report = {
        "bloodlib": bloodlib.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        **{name: importlib.import_module(name).__version__ for name in ("torch", "torchvision", "numpy", "cv2")},
        "device": torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "training precision": str(autocast_dtype(device)).removeprefix("torch."),
        "BLOODLIB_DATA": os.environ.get("BLOODLIB_DATA", "not set: downloads go to the user's cache"),
        "BLOODLIB_WEIGHTS": os.environ.get("BLOODLIB_WEIGHTS", "not set: torchvision downloads its own"),
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    sys.exit(main())
