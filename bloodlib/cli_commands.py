"""What the commands of the command line do; `bloodlib.cli` reads their arguments."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bloodlib
from bloodlib._files import MANIFEST, read_json


def setting_values(settings: Sequence[tuple[str, str]]) -> dict[str, Any]:
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


def load_set(chosen: argparse.Namespace, split: str, size: tuple[int, int] | None = None):
    """Load the set asked for: the part named on the command line, or the one that fits the command.

    A folder without splits.json has no parts and is loaded whole.
    """
    if size and chosen.set != "phantom":
        raise ValueError(f"--size is for the phantom, which is rendered; {chosen.set} has a size of its own")
    whole = is_folder(chosen.set) and not (Path(chosen.set) / "splits.json").is_file()
    options = {"shape": size} if size else {}
    return bloodlib.load(chosen.set, split=chosen.split or ("all" if whole else split), **options)


def is_folder(name: str) -> bool:
    """Say whether a set is a folder; the name of a known set wins over a folder of that name."""
    from bloodlib.datasets import registry

    return name not in registry.SETS and Path(name).is_dir()


def data_list(chosen: argparse.Namespace) -> None:
    """List the sets that are known."""
    from bloodlib.datasets import registry

    for entry in registry.available():
        here = registry.status(entry.name) if entry.megabytes else None
        state = "made here" if here is None else f"{here.present} of {here.present + here.missing} files here"
        print(f"{entry.name:18} {entry.holds:72} {entry.licence.split(' (')[0]:14} {entry.megabytes:5.1f} MB  {state}")
    print("A folder of your own with images/ and instances/ works wherever a name does.")


def data_fetch(chosen: argparse.Namespace) -> None:
    """Download a set."""
    from bloodlib.datasets import registry

    state = registry.status(chosen.name)
    if chosen.dry_run:
        size = registry.SETS[chosen.name].megabytes
        print(f"would download {state.missing} files of {size:g} MB in all to {state.folder}; {state.present} are here")
        return
    registry.fetch(chosen.name)
    state = registry.status(chosen.name)
    print(f"{state.name}: {state.present} files checked and in the cache")


def data_check(chosen: argparse.Namespace) -> int:
    """Name everything that is wrong with a folder."""
    from bloodlib.io import check_folder

    findings = check_folder(chosen.folder, progress=True)
    for finding in findings:
        print(finding)
    errors = sum(finding.is_error for finding in findings)
    print(f"{chosen.folder}: {errors} errors, {len(findings) - errors} warnings")
    return 1 if errors else 0


def data_describe(chosen: argparse.Namespace) -> None:
    """Print Table 1."""
    from tqdm import tqdm

    smears = tqdm(load_set(chosen, "train"), unit="smear", leave=False)
    for name, mean, spread in bloodlib.describe(smears).rows():
        print(f"{name:20} {mean:9.1f} ± {spread:.1f}")


def masks(chosen: argparse.Namespace) -> None:
    """Write synthetic instance masks."""
    from tqdm import tqdm

    from bloodlib.sampler.writing import begun_masks

    options = _mask_options(chosen)
    found = load_set(chosen, "fit")
    begun_masks(chosen.output, chosen.count, chosen.seed, chosen.size)
    if chosen.dry_run:
        print(f"would measure {len(found)} smears of {found.title} and write {chosen.count} masks to {chosen.output}")
        return
    generator = bloodlib.MaskGenerator.fit(tqdm(found, desc="reading", unit="smear", leave=False), **options)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        generator.write(chosen.output, chosen.count, chosen.seed, chosen.size, workers=chosen.workers, progress=True)
    for sentence in dict.fromkeys(str(warning.message) for warning in told):
        print(f"bloodlib: {sentence}", file=sys.stderr)
    print(f"{chosen.count} masks in {chosen.output}")


def _mask_options(chosen: argparse.Namespace) -> dict[str, Any]:
    """Gather what `MaskGenerator.fit` is given; refuse an option that another one would make idle."""
    law = ("placement", "variant", "core", "weights", "snap")
    given = {name: value for name in (*law, "overlap", "overlap_share") if (value := getattr(chosen, name)) is not None}
    idle = [name for name in law if name in given and chosen.layout == "fitted"]
    why = "--layout fitted chooses it"
    if not idle and given.get("placement", "adhesion") != "adhesion":
        idle, why = [name for name in law[1:4] if name in given], "it is of Eq. 3, which --placement adhesion draws by"
    if not idle and "overlap_share" in given and not given.get("overlap"):
        idle, why = ["overlap_share"], "it is of cells that may lie on others, which --overlap lets them"
    if idle:
        raise ValueError(f"--{idle[0].replace('_', '-')} would not be looked at: {why}")
    return {**given, **{name: getattr(chosen, name) for name in ("layout", "smooth", "by_slide")}}


def fit(chosen: argparse.Namespace) -> None:
    """Train a painter."""
    from bloodlib.gan.precision import is_first
    from bloodlib.gan.training import NonFiniteLossError

    overrides, smears = setting_values(chosen.settings), load_set(chosen, "fit", chosen.size)
    if chosen.batch:
        overrides["stages"] = _with_batch(chosen.profile, chosen.batch)
    if chosen.dry_run:
        print(_fit_plan(chosen, smears, overrides))
        return
    try:
        bloodlib.Synthesizer.fit(
            smears,
            chosen.profile,
            chosen.output,
            chosen.seed,
            devices=chosen.devices,
            start_from=chosen.start_from,
            **overrides,
        )
    except NonFiniteLossError as error:
        raise ValueError(error) from error
    if is_first(chosen.devices):
        print(f"Model in {chosen.output}; next: bloodlib generate {chosen.output} -n 900 -o synthetic")


def _with_batch(profile: str, batch: int) -> tuple[Any, ...]:
    from dataclasses import replace

    from bloodlib.gan.config import preset

    return tuple(replace(stage, batch=batch) for stage in preset(profile).stages)


def _fit_plan(chosen: argparse.Namespace, smears, overrides: dict[str, Any]) -> str:
    from bloodlib.gan.checkpoint import CHECKPOINT, read_checkpoint, refuse_others
    from bloodlib.gan.classes import warn_of_strangers
    from bloodlib.gan.config import preset
    from bloodlib.gan.data import at_own_size, fitting_crops, shapes_of, shortest_side_px

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warn_of_strangers(smears, preset(chosen.profile, **overrides).cell_classes)
        of_one_size = smears if is_folder(chosen.set) else smears[:1]
        config = at_own_size(preset(chosen.profile, **overrides), shapes_of(of_one_size))
        config = fitting_crops(config, shortest_side_px(of_one_size))
    steps = [stage.step_count(len(smears)) for stage in config.stages]
    plan = f"would train on {len(smears)} smears of {smears.title}: {steps[0]} + {steps[1]} steps ({chosen.profile})"
    plan += "".join(f"; {warning.message}" for warning in told)
    path = chosen.output / CHECKPOINT
    if (chosen.output / "config.json").is_file():
        return f"{plan}; {chosen.output} holds a finished model, which is taken if it is of the same settings"
    refuse_others(chosen.output)
    if path.is_file():
        done = len(read_checkpoint(path)[1]["history"]["step"])
        return f"{plan}; {chosen.output} holds a training of {done} steps, which goes on if it is of the same settings"
    return f"{plan}; the model would be in {chosen.output}"


def generate(chosen: argparse.Namespace) -> None:
    """Write labelled synthetic smears."""
    synthesizer = bloodlib.Synthesizer.load(chosen.model)
    synthesizer = synthesizer.with_draw(chosen.draw) if chosen.draw else synthesizer
    if chosen.classes:
        _check_classes(chosen.classes, synthesizer)
    if chosen.dry_run:
        print(_generate_plan(chosen, synthesizer))
        return
    options = {"shape": chosen.size, "style": chosen.style, "workers": chosen.workers, "classes": chosen.classes}
    synthesizer.write(chosen.output, chosen.count, seed=chosen.seed, progress=True, **options)
    if chosen.voc:
        from bloodlib.io import write_voc

        made = bloodlib.load(chosen.output)
        for smear in made:
            write_voc(chosen.output / "annotations" / f"{smear.name}.xml", smear, made.class_names)
    there = len(read_json(chosen.output / MANIFEST)["smears"])
    print(f"{there} labelled smears in {chosen.output}" + (", as before" if there > chosen.count else ""))


def _check_classes(asked: dict[int, float], synthesizer: bloodlib.Synthesizer) -> None:
    """Refuse a mix of classes that the model cannot paint, and name those that it can."""
    given = ",".join(f"{number}:{share:g}" for number, share in asked.items())
    if synthesizer.config.cell_classes == 1:
        raise ValueError(
            f"--classes {given}: this model does not tell classes of cells apart; fit one that does, with "
            "--set cell_classes=N"
        )
    names, seen = synthesizer.about["data"]["class_names"], synthesizer.styles.class_shares.any(axis=0)
    unseen = [number for number, share in asked.items() if share and not (number < len(seen) and seen[number])]
    if unseen:
        allowed = ", ".join(f"{number} ({name})" for number, name in enumerate(names) if seen[number])
        raise ValueError(f"--classes {given}: the model has seen no cell of class {unseen[0]}; allowed are {allowed}")


def _generate_plan(chosen: argparse.Namespace, synthesizer: bloodlib.Synthesizer) -> str:
    from bloodlib.gan.classes import class_shares
    from bloodlib.writing import begun_smears

    height, width = shape = chosen.size or synthesizer.layout.config.shape
    shares = class_shares(chosen.classes, synthesizer.config.cell_classes)
    here = len(begun_smears(synthesizer, chosen.output, chosen.seed, shape, chosen.style, shares))
    return (
        f"would write {max(chosen.count - here, 0)} smears of {width}×{height} px to {chosen.output}"
        f"{f', where {here} are' if here else ''}; at most {3e-6 * chosen.count * height * width:.0f} MB of pictures"
    )


def export(chosen: argparse.Namespace) -> int:
    """Write the painter as ONNX."""
    synthesizer = bloodlib.Synthesizer.load(chosen.model)
    if chosen.dry_run:
        print(f"would write the generator of {chosen.model} to {chosen.output}")
        return 0
    from bloodlib.gan.export import TOLERANCE, export_generator, largest_difference

    about = {"identity": synthesizer.about["identity"], "data": synthesizer.about["data"]["title"]}
    try:
        export_generator(synthesizer.generator, chosen.output, about)
        difference = largest_difference(synthesizer.generator, chosen.output)
    except ImportError as error:
        raise ValueError(error) from error
    print(f"{chosen.output}: differs from torch by at most {difference:.1g} of the range [-1, 1]")
    return 0 if difference <= TOLERANCE else 1


def evaluate(chosen: argparse.Namespace) -> None:
    """Score a folder of instance masks."""
    if chosen.dry_run:
        also = f" and write the scores to {chosen.json}" if chosen.json else "; nothing would be written"
        print(f"would score the masks in {chosen.predictions} against those in {chosen.targets}{also}")
        return
    from bloodlib.evaluators.folders import evaluate_folders

    scores = evaluate_folders(chosen.predictions, chosen.targets)
    for name, value in scores.items():
        print(f"{name:16} {value:.4f}" if isinstance(value, float) else f"{name:16} {value}")
    if chosen.json:
        from bloodlib._files import write_json

        write_json(chosen.json, scores)
