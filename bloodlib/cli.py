"""The command line: bloodlib data | masks | fit | generate | export | evaluate | doctor | completion."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import bloodlib
from bloodlib import cli_commands as commands
from bloodlib.cli_completion import SHELLS, script
from bloodlib.cli_convert import data_convert
from bloodlib.cli_doctor import doctor
from bloodlib.gan.config import STYLE_DRAWS
from bloodlib.sampler.placement import CORES, PLACEMENTS, VARIANTS, WEIGHTS

PAGE = """\
Labelled synthetic blood smears from a few annotated ones. Not for diagnosis.

from your own smears to new ones:
  bloodlib data check my_smears             what is wrong with the folder, file by file
  bloodlib fit my_smears -o my_model        learn shapes, layout and looks (laptop: an hour or two)
  bloodlib generate my_model -n 900 -o new  images/, instances/, coco.json, manifest.json
  bloodlib evaluate predicted new           how well another program finds the cells

without any smears:
  bloodlib generate chula_rbc12-laptop -n 10 -o new   by the model that is included
  bloodlib masks phantom -n 100 -o masks              masks alone

A folder of smears holds images/ and one of instances/ (a grey value per cell, PNG or TIFF),
masks/ (a colour per cell) or coco.json (polygons or run lengths).
"""
EXITS = """\
Commands that write take --dry-run, which says what would be written and writes nothing. Each
can be interrupted with Ctrl-C, or be killed: files are whole, and `fit` and `generate` go on
where they stopped when they are called again; `masks` and `data convert` begin again, and write
the same files. A folder that holds anything else is refused.

exit codes:
  0    done
  1    the input was at fault, or `data check` found errors: one sentence says what
  2    the command was not understood
  130  interrupted
"""


_OUT_OF_MEMORY = ("OutOfMemoryError", "TerminatedWorkerError")  # torch's, on a GPU; joblib's, of a worker killed for it


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
    for stream in (sys.stdout, sys.stderr):  # on Windows a file takes few characters: a name must not end a command
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = _parser().parse_args(given)
    usual, warnings.formatwarning = warnings.formatwarning, _sentence
    try:
        return chosen.run(chosen) or 0
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        sys.stdout = None
        return 0
    except (ValueError, OSError) as error:
        print(f"bloodlib: {error}", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and type(error).__name__ not in _OUT_OF_MEMORY:
            raise
        advice = {"fit": "ask for a smaller --batch", "evaluate": "evaluate fewer masks at a time"}
        less = advice.get(given[0] if given else "", "ask for fewer --workers or a smaller --size")
        print(f"bloodlib: there is not memory enough; {less}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        again = shlex.join(["bloodlib", *given])
        print(f"\nbloodlib: interrupted; what was written is whole. To go on:\n  {again}", file=sys.stderr)
        return 130
    finally:
        warnings.formatwarning = usual


def _sentence(message, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    """Write a warning as errors are written, without the place in the code that Python puts before it."""
    return f"bloodlib: {message}\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bloodlib", description=PAGE, epilog=EXITS, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"bloodlib {bloodlib.__version__}")
    below = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_data(below)
    _add_masks(below)
    _add_fit(below)
    _add_models(below)

    evaluate = _add(below, "evaluate", commands.evaluate, "score a folder of instance masks against another")
    evaluate.add_argument("predictions", type=Path)
    evaluate.add_argument("targets", type=Path)
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write the scores here as well")
    _add_dry_run(evaluate)

    text = "what this machine offers: versions, device, precision, threads, data and weights found"
    _add(below, "doctor", doctor, text).add_argument("--json", action="store_true", help="for programs")

    shell = _add(below, "completion", lambda chosen: print(script(parser, chosen.shell), end=""), _COMPLETION)
    shell.add_argument("shell", choices=SHELLS)
    return parser


_COMPLETION = "print a completion script: source <(bloodlib completion bash)"


def _add_data(below) -> None:
    data = below.add_parser("data", help="list, download, check, describe and convert data sets")
    actions = data.add_subparsers(required=True, metavar="ACTION")
    _add(actions, "list", commands.data_list, "the data sets that are known, and what of them is here")
    fetch = _add(actions, "fetch", commands.data_fetch, "download a set, every file checked against its SHA-256")
    fetch.add_argument("name")
    _add_dry_run(fetch)
    check = _add(actions, "check", commands.data_check, "name everything that is wrong with a folder of smears")
    check.add_argument("folder", type=Path)
    _add_set(_add(actions, "describe", commands.data_describe, "Table 1 of the paper for any set"), split="train")
    text = "write a set as images, 16-bit label images and COCO, from any format that is read"
    convert = _add(actions, "convert", data_convert, text)
    _add_set(convert, split="all")
    convert.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    _add_voc(convert)
    _add_dry_run(convert)


def _add_masks(below) -> None:
    masks = _add(below, "masks", commands.masks, "write synthetic instance masks")
    _add_set(masks, split="fit")
    _add_output(masks, count=10)
    masks.add_argument("--size", type=_size, metavar="WIDTHxHEIGHT", help="default: that of the smears")
    _add_workers(masks)
    law = {"placement": PLACEMENTS, "variant": VARIANTS, "core": CORES, "weights": WEIGHTS}
    for name, allowed in law.items():
        masks.add_argument(f"--{name}", choices=allowed, help=f"of Eq. 3 (default {allowed[0]})")
    masks.add_argument("--snap", type=float, help="probability that a cell slides to its neighbour (default 0)")
    masks.add_argument("--overlap", type=float, help="share of a cell that another may cover (default 0)")
    masks.add_argument("--overlap-share", type=float, help="share of the cells that may lie on others (default 1)")
    masks.add_argument("--smooth", action="store_true", help="free outlines from pixel steps before they are turned")
    masks.add_argument("--by-slide", action="store_true", help="draw each mask after one slide: its shapes and numbers")
    masks.add_argument(
        "--layout",
        choices=("given", "fitted"),
        default="given",
        help="fit the constants (takes minutes), in place of --snap and of the options of Eq. 3",
    )


def _add_fit(below) -> None:
    fit = _add(below, "fit", commands.fit, "learn to make smears like those of a set")
    _add_set(fit, split="fit")
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
    fit.add_argument("--seed", type=_seed, default=0, help="of everything drawn (default 0)")
    text = "GPUs, or processes where there is none, that share every batch (default 1)"
    fit.add_argument("--devices", type=_positive, default=1, metavar="N", help=text)
    text = "begin with the networks of that model, such as a released one, not random ones; fewer steps do then"
    fit.add_argument("--start-from", metavar="MODEL", help=text)
    fit.add_argument("--batch", type=_positive, metavar="N", help="samples of one step, instead of the profile's")
    _add_dry_run(fit)


def _add_models(below) -> None:
    models = f"a folder that `bloodlib fit` wrote, or a released model: {', '.join(bloodlib.released()) or 'none yet'}"
    generate = _add(below, "generate", commands.generate, "write labelled synthetic smears")
    generate.add_argument("model", help=models)
    _add_output(generate, count=10)
    generate.add_argument("--size", type=_size, metavar="WIDTHxHEIGHT", help="default: that of the fitted smears")
    generate.add_argument("--style", type=int, help="style cluster; drawn at random for each smear by default")
    generate.add_argument(
        "--draw",
        choices=STYLE_DRAWS,
        help="looks of a smear from one fitted smear, from one cluster for all its cells (the paper's), or from one "
        "for each; the model's way by default",
    )
    generate.add_argument(
        "--classes",
        type=_classes,
        metavar="CLASS:SHARE,…",
        help="mix of the cells' classes, such as 4:1,7:2, for a model that was told them (cell_classes); that of a "
        "fitted smear for each smear by default",
    )
    _add_workers(generate)
    _add_voc(generate)

    text = "write the painter of a model as ONNX, for programs without torch"
    export = _add(below, "export", commands.export, text)
    export.add_argument("model", help=models)
    export.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.onnx")
    _add_dry_run(export)


def _add(below, name: str, run: Callable[[argparse.Namespace], int | None], text: str) -> argparse.ArgumentParser:
    parser = below.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(run=run)
    return parser


def _add_set(parser: argparse.ArgumentParser, split: str) -> None:
    parser.add_argument("set", help="name of a data set, or a folder with images/ and instances/")
    unless = "" if split == "all" else "; all of a folder without splits.json"
    parser.add_argument("--split", help=f"fit, validation, train, test or all (default {split}{unless})")


def _add_output(parser: argparse.ArgumentParser, count: int) -> None:
    parser.add_argument("-n", "--count", type=_positive, default=count, help=f"how many (default {count})")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--seed", type=_seed, default=0, help="of everything drawn (default 0)")
    _add_dry_run(parser)


def _add_voc(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--voc", action="store_true", help="also the box of every cell, as VOC XML in annotations/")


def _add_workers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=_workers, default=1, help="processes; -1 for one on each core (default 1)")


def _add_dry_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would be written, and write nothing")


def _size(text: str) -> tuple[int, int]:
    width, cross, height = text.lower().partition("x")
    if not (cross and width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write WIDTHxHEIGHT, such as 640x480")
    return int(height), int(width)


def _classes(text: str) -> dict[int, float]:
    found: dict[int, float] = {}
    for part in text.split(","):
        number, colon, share = (word.strip() for word in part.partition(":"))
        try:
            value = float(share) if colon and number.isdigit() and int(number) not in found else math.nan
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise argparse.ArgumentTypeError(
                f"{part!r} is no share of a class; write CLASS:SHARE of 0 or more with commas between, each class "
                "once, such as 4:1,7:2"
            )
        found[int(number)] = value
    return found


def _workers(text: str) -> int:
    if text != "-1" and (not text.isdigit() or int(text) < 1):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of workers; write 1 or more, or -1 for every core")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no seed; write a whole number of 0 or more")
    return int(text)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is no setting; write NAME=VALUE, such as perceptual=squeezenet")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
