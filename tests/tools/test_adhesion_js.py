"""The adhesion sampler of the pages and the one of the library: the same uniform numbers give the same cells."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest

from bloodlib.sampler.placement import PlacementConfig, component_weights, draw_locations, probability_map
from bloodlib.statistics import pair_correlation
from tools import browser
from tools.layout import ROOT

SCRIPT = ROOT / "book" / "_static" / "adhesion.js"
SHAPE = (200, 300)


def run_js(body: str, given: object) -> object:
    """Run the body of a function of `Adhesion` and `given`, in Node or else in Chromium; give what it returns."""
    function = f"((Adhesion, given) => {{{body}}})"
    if node := shutil.which("node"):
        program = f"const a = require({json.dumps(str(SCRIPT))});"
        program += f"const g = JSON.parse(require('fs').readFileSync(0)); console.log(JSON.stringify({function}(a, g)))"
        done = subprocess.run(
            [node, "-e", program], input=json.dumps(given), capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)
    if browser.find() is None:
        pytest.skip("neither Node nor Chromium is installed: JavaScript cannot be run")
    with browser.Browser() as page:
        page.evaluate(SCRIPT.read_text())
        return json.loads(page.evaluate(f"JSON.stringify({function}(Adhesion, {json.dumps(given)}))"))


class Uniforms:
    """Stand in for a numpy generator: every draw comes from one given stream of numbers from 0 up to 1."""

    def __init__(self, numbers: list[float]) -> None:
        self.numbers: Iterator[float] = iter(numbers)

    def random(self, size=None):
        return next(self.numbers) if size is None else np.array([next(self.numbers) for _ in range(size)])

    def integers(self, high, size):
        return np.floor(self.random(size) * high).astype(int)


def python_layout(law, count, rng, most=4000):
    """Equal discs that do not overlap, every location drawn by the library."""
    cells, trials = np.zeros((0, 2), int), []
    for _ in range(count):
        for trial in range(1, most + 1):
            place = draw_locations(rng, cells, SHAPE, law)
            if (((cells - place) ** 2).sum(axis=1) >= law.cell_size_px**2).all():
                cells, trials = np.concatenate([cells, place]), [*trials, trial]
                break
    return cells, trials


GROW = """let k = 0; const layout = new Adhesion.Layout(given.law, given.height, given.width, () => given.numbers[k++]);
for (let i = 0; i < given.count; i++) layout.step();
return {cells: layout.cells.map((c) => [c.row, c.column]), trials: layout.trials, used: k};"""


@pytest.mark.parametrize(
    ("variant", "core"), [*product(("final", "first"), ("inverted", "zero")), ("uniform", "inverted")]
)
def test_same_uniforms_give_the_same_cells(variant, core):
    numbers = np.random.default_rng(7).random(60_000).tolist()
    given = {"cellSize": 17, "nInit": 4, "variant": variant, "core": core}
    made = run_js(GROW, {"law": given, "height": 200, "width": 300, "numbers": numbers, "count": 60})
    kind = {"kind": "uniform"} if variant == "uniform" else {"variant": variant}
    law = PlacementConfig(cell_size_px=17.0, n_init=4, core=core, **kind)
    stream = Uniforms(numbers)
    cells, trials = python_layout(law, 60, stream)
    assert made["cells"] == cells.tolist()
    assert made["trials"] == trials
    assert sum(1 for _ in stream.numbers) == 60_000 - made["used"]


@pytest.mark.parametrize(("variant", "core"), [*product(("final", "first"), ("inverted", "zero"))])
def test_maps_and_weights_are_those_of_the_library(variant, core):
    cells = np.random.default_rng(1).integers(0, SHAPE, (9, 2))
    given = {"law": {"cellSize": 20, "nInit": 4, "variant": variant, "core": core}, "cells": cells.tolist()}
    body = """const cells = given.cells.map(([row, column]) => ({row, column}));
    const {uniform, parts} = Adhesion.componentWeights(9, 4, given.law.variant);
    return {map: Array.from(Adhesion.probabilityMap(cells, 200, 300, given.law)), weights: [uniform, ...parts]};"""
    made = run_js(body, given)
    law = PlacementConfig(cell_size_px=20.0, n_init=4, variant=variant, core=core)
    np.testing.assert_allclose(np.reshape(made["map"], SHAPE), probability_map(cells, SHAPE, law), rtol=1e-10)
    uniform, parts = component_weights(9, 4, variant)
    np.testing.assert_allclose(made["weights"], [uniform, *parts], rtol=1e-14)


def test_pair_correlation_grown_cell_by_cell_is_that_of_the_library():
    cells = np.random.default_rng(2).integers(0, SHAPE, (80, 2))
    edges = np.linspace(0, 120, 31)
    body = """const g = new Adhesion.PairCorrelation(200, 300, given.edges);
    for (const [row, column] of given.cells) g.add({row, column});
    return g.values();"""
    made = run_js(body, {"cells": cells.tolist(), "edges": edges.tolist()})
    np.testing.assert_allclose(made, pair_correlation(cells.astype(float), SHAPE, edges), rtol=1e-10)


def test_full_image_ends_the_layout():
    body = """const layout = new Adhesion.Layout(given, 80, 80, Adhesion.seeded(0)); let n = 0;
    while (n < 50 && layout.step(500)) n++;
    return n;"""
    placed = run_js(body, {"cellSize": 40, "nInit": 1, "variant": "final", "core": "inverted"})
    assert 2 <= placed <= 9  # nine discs are the most that fit: centres on a grid of 40 px


def test_seeded_numbers_are_even_and_repeat():
    body = """const one = Adhesion.seeded(given), two = Adhesion.seeded(given);
    return [Array.from({length: 4000}, one), Array.from({length: 4000}, two)];"""
    one, two = run_js(body, 5)
    assert one == two
    assert 0 <= min(one) < max(one) < 1
    counts = np.histogram(one, bins=10, range=(0, 1))[0]
    assert ((counts - 400) ** 2 / 400).sum() < 27.9  # χ² with 9 degrees of freedom, p 0.001; the draw is fixed
