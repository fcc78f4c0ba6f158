"""The synthesizer: everything that is needed to make new labelled smears, in one folder."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors
from torch import Tensor

from ._files import alone_in, read_json, replacing, sha256, write_json
from ._versions import versions
from .camera import Camera
from .gan.checkpoint import refuse_others
from .gan.classes import class_names, class_shares, warn_of_strangers
from .gan.config import GanConfig, preset
from .gan.data import (
    Labelled,
    at_own_size,
    fingerprint,
    fitting_crops,
    label,
    shapes_of,
    shortest_side_px,
    with_objects,
)
from .gan.networks import Encoder, GlobalGenerator
from .gan.overlaps import layers, paint_layers, whole_forms
from .gan.painting import check_features, check_objects, find_styles
from .gan.precision import is_first, processes
from .gan.styles import Styles, forms
from .gan.training import CHECKPOINT, Trainer, check_shares, encode_smear, make_painter, paint_instances
from .incidental import ObjectDatabase
from .release import CONFIG, FORMAT, locate, read_model, reading, released_of
from .sampler.config import MaskConfig
from .sampler.mask import Mask
from .sampler.masks import MaskGenerator
from .smears import RED_CELLS, Smear
from .writing import write_smears

LAYOUTS: dict[str, dict[str, Any]] = {  # arguments of `MaskGenerator.fit` in a profile
    # Sizes differ within a smear, and a neighbour cuts as many cells, as in the fit part of Chula RBC-12.
    "laptop": {
        "smooth": True,
        "scale": (0.97, 1.03),
        "by_slide": True,
        "layout": "fitted",
        "overlap": 0.3,
        "overlap_share": 0.08,
    },
}
_GIVEN = {name: known.default for name, known in inspect.signature(MaskGenerator.fit).parameters.items()} | {
    known.name: known.default for known in fields(MaskConfig)
}


@dataclass(eq=False)
class Synthesizer:
    """Draw masks and paint them.

    Parameters
    ----------
    layout : MaskGenerator
        Where cells lie and which shapes they have.
    generator : GlobalGenerator
        Paints a mask, given style features.
    encoder : Encoder
        Gives the style features of real cells.
    styles : Styles
        The looks that were found in the smears.
    objects : ObjectDatabase or None
        What else lies in the smears, strewn over the background; None where the painter knows cells only.
    config : GanConfig
    history : dict of str to list of float
        Losses per optimiser step, and its stage, number and seconds.
    about : dict
        What else config.json says: data, seed, perceptual network, versions.
    camera : Camera or None
        Takes the pictures of what is painted, as each of the fitted smears was taken; None hands on the paint.

    Notes
    -----
    Bailo et al. 2019, the whole pipeline. Made by `fit` or `load`. Book: chapters 05 to 07.
    """

    layout: MaskGenerator
    generator: GlobalGenerator = field(repr=False)
    encoder: Encoder = field(repr=False)
    styles: Styles = field(repr=False)
    objects: ObjectDatabase | None = field(repr=False)
    config: GanConfig
    history: dict[str, list[float]] = field(repr=False)
    about: dict[str, Any] = field(repr=False)
    camera: Camera | None = field(default=None, repr=False)

    @classmethod
    def fit(
        cls,
        smears: Iterable[Smear],
        profile: str = "smoke",
        folder: str | os.PathLike[str] | None = None,
        seed: int = 0,
        progress: bool = True,
        layout: Mapping[str, Any] | None = None,
        devices: int = 1,
        start_from: str | os.PathLike[str] | None = None,
        reuse: bool = False,
        **overrides: Any,
    ) -> Synthesizer:
        """Fit shapes and layout, train the painter, find its styles, save it all.

        Parameters
        ----------
        smears : SmearFolder or iterable of Smear
            Training smears only: what is tested must not be seen here.
        profile : {"smoke", "laptop", "paper"}
            Preset of networks and budgets.
        folder : path, optional
            Where the model is kept. A finished model of the same configuration, seed and smears
            is loaded from it at once; an interrupted training goes on. None keeps nothing.
        seed : int
        progress : bool
            Whether to show a progress bar.
        layout : mapping, optional
            Arguments of `MaskGenerator.fit` other than those of `LAYOUTS`, such as ``{"overlap": 0.1}``.
        devices : int
            GPUs, or processes on a machine without, that share every batch; as in `bloodlib.gan.precision.make_fabric`.
        start_from : str or path, optional
            Released painter or folder of one, whose networks the training begins with: fewer steps do then. Settings
            that give the networks their form must be alike; it may tell other classes of cells apart.
        reuse : bool
            Whether the released painter of these very smears, this profile and this seed is taken where there is one,
            however it was trained, and nothing is trained or kept; a finished model in the folder comes before it.
            Not looked at when anything else is asked for: a layout, a start, a setting.
        **overrides
            Fields of `bloodlib.gan.config.GanConfig` that replace the preset's.

        Raises
        ------
        ValueError
            If a setting does not exist, the folder holds something made otherwise or anything else, the networks of
            `start_from` are of another form, or a smear is too small for any crop.
        BlockingIOError
            If another process is writing to the folder.
        bloodlib.gan.training.NonFiniteLossError
            If a loss is no number; the last checkpoint stays.

        Warns
        -----
        DataWarning
            If white cells or platelets, going by the names of classes, are taken for cells like any other.
        """
        config = preset(profile, **overrides)
        check_shares(config, processes(devices))
        title = getattr(smears, "title", "smears")
        several, names = config.cell_classes > 1, tuple(getattr(smears, "class_names", ()))
        own_name = len(names) == 1 and names != RED_CELLS
        named = {"class_names": class_names(smears, config.cell_classes)} if several or own_name else {}
        warn_of_strangers(smears, config.cell_classes)
        smears = smears if isinstance(smears, Sequence) else list(smears)
        data = fingerprint(smears, classes=several)
        start = None if start_from is None else cls.load(start_from)
        begun = {} if start is None else {"start": start.about["identity"]}
        given, layout = layout, {**LAYOUTS.get(profile, {}), **(layout or {})}
        unusual = {
            key: asdict(value) if is_dataclass(value) else value  # constants of an earlier fit
            for key, value in layout.items()
            if _GIVEN.get(key) != value
        }
        identity = config.digest(seed=seed, data=data, **({"layout": unusual} if unusual else {}), **begun)
        folder = Path(folder) if folder is not None else None
        if folder is not None and (folder / CONFIG).is_file():
            made = read_json(folder / CONFIG).get("identity")
            if made != identity:
                raise ValueError(
                    f"{folder}: holds a model of other smears, settings or seed ({made}, asked for is {identity}); "
                    "choose another folder, or remove this one to train again"
                )
            return cls.load(folder)
        if reuse and not (overrides or given or start):
            found = released_of(data, profile=profile, seed=seed)
            if found is not None:
                return cls.load(found)
        writes = folder is not None and is_first(devices)
        with alone_in(folder, partial(refuse_others, folder)) if writes else nullcontext():
            smears = list(smears)  # read once
            config = at_own_size(config, shapes_of(smears))
            config = fitting_crops(config, shortest_side_px(smears))
            masks = MaskGenerator.fit(smears, keep_classes=config.cell_classes > 1, **layout)
            objects = ObjectDatabase.fit(smears) if config.objects else None
            trainer = Trainer(
                config, smears, folder, seed=seed, progress=progress, identity=identity, devices=devices, start=start
            )
            trainer.run()
            styles = find_styles(trainer.encoder, trainer.smears, config, seed)
            about = {
                "profile": profile,
                "seed": seed,
                "identity": identity,
                **begun,
                "data": {"title": title, "fingerprint": data, "smears": len(smears), "cells": len(styles.cells)}
                | named,
                "perceptual": trainer.perceptual_used,
                "precision": trainer.fabric.strategy.precision.precision,
                "versions": versions("bloodlib", "torch"),
            }
            trainer.painter.cpu().eval(), trainer.encoder.cpu().eval()
            made = cls(masks, trainer.painter, trainer.encoder, styles, objects, config, trainer.history, about)
            if config.camera:
                made.camera = made._measure_camera(trainer.smears)
            if folder is not None and trainer.fabric.is_global_zero:
                made.save(folder)
                (folder / CHECKPOINT).unlink(missing_ok=True)
            trainer.fabric.barrier()
            return made

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model; config.json comes last, so that a folder that has one is complete."""
        folder = Path(folder)
        for name, network in (("generator", self.generator), ("encoder", self.encoder)):
            with replacing(folder / f"{name}.safetensors") as beside:
                save_tensors({k: x.contiguous() for k, x in network.state_dict().items()}, beside)
        for name, arrays in self._arrays().items():
            with replacing(folder / f"{name}.safetensors") as beside:
                save_file({k: np.ascontiguousarray(x) for k, x in arrays.items()}, beside)
        write_json(folder / "history.json", self.history, indent=None)
        files = [f"{name}.safetensors" for name in ("generator", "encoder", *self._arrays())] + ["history.json"]
        content = {
            "format": FORMAT,
            **self.about,
            "config": self.config.to_dict(),
            "layout": self.layout.to_dict(),
            "files": {name: sha256(folder / name) for name in files},
        }
        write_json(folder / CONFIG, content)

    def _arrays(self) -> dict[str, dict[str, np.ndarray]]:
        parts = {"layout": self.layout, "styles": self.styles, "objects": self.objects, "camera": self.camera}
        return {name: part.to_arrays() for name, part in parts.items() if part is not None}

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Synthesizer:
        """Read a model from its folder, or a released one by its name, checking every file's hash.

        Half precision becomes single.

        Raises
        ------
        FileNotFoundError
            If there is no finished model, nor a released one of that name (`bloodlib.released` lists them).
        ValueError
            If a file is not what was written.
        """
        path = locate(folder)
        content = read_model(path)
        config = GanConfig.from_dict(content.pop("config"))
        with torch.random.fork_rng(devices=[]):  # the weights that are drawn here are replaced
            generator, encoder = make_painter(config)
        for name, network in (("generator", generator), ("encoder", encoder)):
            with reading(path / f"{name}.safetensors"):
                network.load_state_dict(load_tensors(path / f"{name}.safetensors"))
            network.to(memory_format=torch.channels_last).eval()
        layout = MaskGenerator.from_arrays(load_file(path / "layout.safetensors"), content.pop("layout"))
        styles = Styles.from_arrays(load_file(path / "styles.safetensors"), config.style_draw, config.cell_classes)
        objects = ObjectDatabase.from_arrays(load_file(path / "objects.safetensors")) if config.objects else None
        camera = Camera.from_arrays(load_file(path / "camera.safetensors")) if config.camera else None
        content.pop("files"), content.pop("format")
        history = read_json(path / "history.json")
        return cls(layout, generator, encoder, styles, objects, config, history, content, camera)

    def with_camera(self, smears: Iterable[Smear], compression: bool = True) -> Synthesizer:
        """Give the same synthesizer with a camera, measured on the smears that it was fitted on.

        Parameters
        ----------
        smears : iterable of Smear
        compression : bool
            Whether its pictures get the traces of JPEG that the smears have.

        Raises
        ------
        ValueError
            If they are other smears.

        Notes
        -----
        What `fit` gives with ``camera=True`` and otherwise the same settings, if pictures are compressed: the camera is
        measured last.
        """
        smears = smears if isinstance(smears, Sequence) else list(smears)
        data = fingerprint(smears, classes=self.config.cell_classes > 1)
        if data != self.about["data"]["fingerprint"]:
            raise ValueError(f"these smears are {data}, this painter was fitted on {self.about['data']['fingerprint']}")
        config = replace(self.config, camera=True)
        camera = self._measure_camera((label(smear, config) for smear in smears), compression)
        about = self._about(config, "camera")
        about["identity"] += "" if compression else "-uncompressed"  # another set, which goes on with none of the other
        return replace(self, config=config, camera=camera, about=about)

    def with_draw(self, draw: str) -> Synthesizer:
        """Give the same synthesizer with looks drawn in another way: no training is in it.

        Parameters
        ----------
        draw : {"joint", "independent", "per_cell"}
            All looks of a smear from one fitted smear; one random cluster for all cells of a smear, as the paper
            draws them; or one for every cell.

        Raises
        ------
        ValueError
            If there is no such draw.

        Notes
        -----
        Book: chapter 06.
        """
        if draw == self.config.style_draw:
            return self
        config = replace(self.config, style_draw=draw)
        styles = replace(self.styles, draw=draw)
        return replace(self, config=config, styles=styles, about=self._about(config, draw))

    def _about(self, config: GanConfig, change: str) -> dict[str, Any]:
        """Say what config.json would of this one with another configuration; a released one is called by the change."""
        seed, data, identity = self.about["seed"], self.about["data"]["fingerprint"], self.about["identity"]
        plain = self.config.digest(seed=seed, data=data) == identity
        return {**self.about, "identity": config.digest(seed=seed, data=data) if plain else f"{identity}-{change}"}

    def _measure_camera(self, smears: Iterable[Labelled], compression: bool = True) -> Camera:
        views = ((smear.image, self._repainted(smear), smear.instances) for smear in smears)
        return Camera.fit(views, compression=compression)

    def _repainted(self, smear: Labelled, rng: np.random.Generator | None = None) -> np.ndarray:
        rng = np.random.default_rng(self.about["seed"]) if rng is None else rng
        styles = self._encoded(smear)
        return paint_instances(self.generator, smear.instances, styles, smear.kinds, rng)

    def _taken(self, painted: np.ndarray, features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Take the picture as that of the smear whose background looks most like this one."""
        if self.camera is None:
            return painted
        return self.camera.take(painted, rng, self._nearest_smear(features[0]))

    def _nearest_smear(self, background: np.ndarray) -> int:
        """Give the fitted smear whose background's features are nearest to some."""
        return int(np.square(self.styles.backgrounds - background).sum(axis=1).argmin())

    def encode(self, smear: Smear) -> np.ndarray:
        """Give the styles of a smear's background (row 0) and cells, float32 (n + 1, terms · C).

        The first C are means of features in [-1, 1]; what follows is in `bloodlib.gan.pooling.pool_instances`.
        """
        self.layout.shapes.check_magnification(smear.instances)
        return self._encoded(label(smear, self.config)).numpy()[: smear.count + 1]

    def _encoded(self, smear: Labelled) -> Tensor:
        return encode_smear(self.encoder, smear, self.config.style_terms, self.config.encoder_scale)

    def repaint(self, smear: Smear, rng: np.random.Generator) -> np.ndarray:
        """Paint a real smear's own mask in its own styles, with what else lies in it; uint8 (H, W, 3).

        A camera is measured on this very smear, as its styles are.
        """
        self.layout.shapes.check_magnification(smear.instances)
        seen = label(smear, self.config)
        painted = self._repainted(seen, rng)
        if self.camera is None:
            return painted
        return Camera.fit([(seen.image, painted, seen.instances)], self.camera).take(painted, rng, 0)

    def paint(
        self,
        instances: np.ndarray,
        rng: np.random.Generator,
        style: int | None = None,
        features: np.ndarray | None = None,
        objects: np.ndarray | None = None,
        classes: np.ndarray | None = None,
    ) -> np.ndarray:
        """Paint an instance mask.

        Parameters
        ----------
        instances : int (H, W)
            Any size; 0 is background.
        rng : numpy.random.Generator
        style : int, optional
            Cluster of the cells' look; None draws.
        features : float (n + 1, terms · C), optional
            Given instead of a style: those of `encode`, to paint a real mask in its own colours.
        objects : int (H, W), optional
            Incidental objects 1..m where no cell is, for a painter that knows them; none if not given.
        classes : int (n,), optional
            Class of each cell, for a painter that knows several; drawn as in `sample` if not given.

        Returns
        -------
        uint8 (H, W, 3)

        Raises
        ------
        ValueError
            If the mask is none, the features, classes or objects do not fit it, or objects are given to a painter
            without.

        Warns
        -----
        bloodlib.io.images.DataWarning
            If most cells are larger or smaller than the fitted ones by half: a mask of another magnification.
        """
        if instances.ndim != 2 or not np.issubdtype(instances.dtype, np.integer) or instances.min(initial=0) < 0:
            raise ValueError(f"instances are {instances.dtype} {instances.shape}; needed are ids ≥ 0 as int (H, W)")
        if objects is not None and self.objects is None:
            raise ValueError("objects are given, but this painter knows cells only; fit it with objects=True")
        if objects is not None:
            objects = check_objects(objects, instances)
        instances = instances.astype(np.int32)
        self.layout.shapes.check_magnification(instances)
        count = int(instances.max(initial=0))
        if classes is not None and self.config.cell_classes == 1 and np.any(classes):
            raise ValueError("classes are given, but this painter knows one class of cells; fit it with cell_classes=…")
        classes = self.styles.draw_classes(rng, count) if classes is None else np.asarray(classes)
        if len(classes) != count:
            raise ValueError(f"{len(classes)} classes for {count} cells; needed is one for each")
        ids, kinds = with_objects(instances, classes, objects, self.config.cell_classes)
        drawn, smear = None, None
        if features is not None:
            features = check_features(features, count, self.styles.features.shape[1])
            smear = self._nearest_smear(features[0])
        if features is None or len(kinds) > count + 1:
            drawn, _ = self.styles.sample(rng, kinds, style, **forms(ids, len(kinds)), smear=smear)
        if features is not None:
            drawn = np.vstack([features, drawn[count + 1 :]]) if drawn is not None else features
        means = torch.from_numpy(np.ascontiguousarray(drawn, dtype=np.float32))
        return self._taken(paint_instances(self.generator, ids, means, kinds, rng), drawn, rng)

    def sample(
        self,
        rng: np.random.Generator,
        shape: tuple[int, int] | None = None,
        style: int | None = None,
        count: int | None = None,
        name: str = "synthetic",
        classes: Mapping[int, float] | Sequence[float] | np.ndarray | None = None,
        fast: bool = False,
    ) -> Smear:
        """Draw a mask and paint it.

        Parameters
        ----------
        rng : numpy.random.Generator
        shape : (height, width), optional
            In pixels; that of the fitted smears if not given.
        style : int, optional
            Cluster of the cells' look; None draws one.
        count : int, optional
            Cells requested; drawn if not given.
        name : str
        classes : mapping of int to float, or float (cell_classes,), optional
            Shares of the cells' classes, for a painter that knows several; those of a fitted smear, drawn
            at random, if not given.
        fast : bool
            Whether to paint in bfloat16 where the machine can (`bloodlib.gan.painting.paint_instances`).

        Returns
        -------
        Smear
            With the class of every cell.

        Raises
        ------
        ValueError
            If the classes are no shares, or the painter has seen no cell of one.

        Notes
        -----
        The class of each cell is drawn first, then its shape among those of its class (any, where no whole cell of
        that class was seen), then its looks. Places do not depend on classes.
        """
        shares = class_shares(classes, self.config.cell_classes)
        return self.make(rng, shape, style, count, name, shares, fast)[0]

    def make(
        self,
        rng: np.random.Generator,
        shape: tuple[int, int] | None,
        style: int | None,
        count: int | None,
        name: str,
        shares: np.ndarray | None,
        fast: bool = False,
    ) -> tuple[Smear, dict[str, Any]]:
        """Draw a smear as `sample` does, its classes' shares checked already, and say what a manifest holds of it."""
        mask = self.draw_cells(rng, shape, count, shares, style)
        objects = None if self.objects is None else self.objects.sample(rng, mask.instances)
        classes = np.zeros(mask.placed, dtype=np.int64) if mask.classes is None else mask.classes
        ids, kinds = with_objects(mask.instances, classes, objects, self.config.cell_classes)
        whole = [ids]
        if self.layout.config.overlap:
            first, *others = layers(mask.amodal, ids.shape)
            whole = [np.where(ids > mask.placed, ids, first), *others]
        forms_of = whole_forms(whole, len(kinds))
        features, style = self.styles.sample(rng, kinds, style, smear=mask.source, **forms_of)
        painted = paint_layers(self.generator, whole, torch.from_numpy(features), kinds, rng, fast=fast)
        image = self._taken(painted, features, rng)
        facts = {"style": style, "requested": mask.requested, "placed": mask.placed}
        if self.config.cell_classes > 1:
            facts["classes"] = classes.tolist()
        return Smear(image, mask.instances, classes, name), facts

    def draw_cells(
        self,
        rng: np.random.Generator,
        shape: tuple[int, int] | None = None,
        count: int | None = None,
        shares: np.ndarray | None = None,
        style: int | None = None,
    ) -> Mask:
        """Draw a mask as `sample` does; without a count it has a cell at least, since readers refuse an empty mask.

        Where masks are drawn after one slide, it is that of the smear whose looks a joint draw takes.
        """
        if self.config.cell_classes > 1:
            shares = self.styles.draw_shares(rng) if shares is None else shares
        source = None
        if self.layout.slides and self.config.style_draw == "joint":
            source = self.styles.draw_smear(rng, style, shares)
        mask = self.layout.sample(rng, shape, count, shares, source)
        return mask if mask.placed or count is not None else self.layout.sample(rng, shape, 1, shares, source)

    def write(
        self,
        folder: str | os.PathLike[str],
        count: int,
        seed: int,
        shape: tuple[int, int] | None = None,
        style: int | None = None,
        progress: bool = False,
        classes: Mapping[int, float] | Sequence[float] | np.ndarray | None = None,
        workers: int | None = None,
    ) -> None:
        """Write labelled synthetic smears: images/, instances/, coco.json and manifest.json.

        Parameters
        ----------
        folder : path
            A set that was begun here with the same model, seed, shape, style and classes is continued.
        count : int
            How many smears the set has in the end.
        seed : int
            Smear k depends on (seed, k) alone.
        shape : (height, width), optional
            In pixels; that of the fitted smears if not given.
        style : int, optional
            Cluster of the cells' look in every smear; None draws one for each.
        progress : bool
            Whether to show a progress bar.
        classes : mapping of int to float, or float (cell_classes,), optional
            Shares of the cells' classes, as in `sample`; coco.json gives the class of every cell.
        workers : int, optional
            Processes; -1 for one on each core. None: one, or what `joblib.parallel_config` says, so that an
            existing Dask cluster can do the work: ``with joblib.parallel_config(backend="dask"):``.

        Raises
        ------
        ValueError
            Before anything is written: if the folder holds another set or anything else, or an argument is not allowed.
        BlockingIOError
            If smears are missing and another process is writing to it.

        Warns
        -----
        CrowdedWarning
            Once, if cells that were asked for found no room in some smears; the manifest says in which.

        Notes
        -----
        Where the layout lets cells overlap, coco.json holds every cell whole, what is seen of it and the
        hidden share (`bloodlib.sampler.writing.amodal_annotations`); instances/ holds what is seen.
        """
        shape = self.layout.config.shape if shape is None else shape
        shares = class_shares(classes, self.config.cell_classes)
        write_smears(self, folder, count, seed, shape, style, shares, workers, progress)
