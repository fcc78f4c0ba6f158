/* The adhesion sampler of chapter 03: Bailo et al. 2019, Eq. 3, as a mixture, cell by cell.

   The same steps in the same order as bloodlib/sampler/placement.py (draw_locations) and excitation.py, so that the
   same uniform numbers give the same cells; tests/tools/test_adhesion_js.py feeds them to both. Cells are equal discs
   here, where the book's generator has real outlines. No DOM in this file: adhesion_view.js draws. */
(function (root) {
  "use strict";

  const TABLE_SIGMAS = 8; // a Gaussian is below 2e-14 of its peak beyond
  const BATCH = 8; // offsets drawn at once after one fell outside, as `around` does
  const ROUNDS = 8;

  /** z of one cell at a distance, before it is normalised; `core` is "inverted" or "zero". */
  function excitation(distance, cellSize, core) {
    const sigma = cellSize / Math.sqrt(2 * Math.log(2));
    const gauss = Math.exp(-0.5 * (distance / sigma) ** 2);
    if (distance >= cellSize) return gauss;
    return core === "inverted" ? 1 - gauss : 0;
  }

  /** First index whose entry is above the level, in an ascending array. */
  function firstAbove(ascending, level, length = ascending.length) {
    let low = 0;
    let high = length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ascending[middle] > level) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** z on the pixel grid around a cell, with its running sum. */
  function excitationTable(cellSize, core) {
    const sigma = cellSize / Math.sqrt(2 * Math.log(2));
    const reach = Math.ceil(Math.max(TABLE_SIGMAS * sigma, cellSize));
    const side = 2 * reach + 1;
    const values = new Float64Array(side * side);
    const cumulative = new Float64Array(side * side);
    let sum = 0;
    for (let k = 0; k < values.length; k++) {
      const row = Math.floor(k / side) - reach;
      const column = (k % side) - reach;
      values[k] = excitation(Math.sqrt(row * row + column * column), cellSize, core);
      sum += values[k];
      cumulative[k] = sum;
    }
    return { reach, side, values, cumulative };
  }

  /** Weights of Eq. 3 for the cell after `placed` cells: of the uniform law, and of each cell's z. */
  function componentWeights(placed, nInit, variant) {
    const parts = new Float64Array(placed);
    if (variant === "uniform" || placed < nInit) return { uniform: 1, parts };
    const edges = new Float64Array(placed + 1);
    edges[0] = variant === "final" ? 0 : nInit;
    for (let j = 1; j <= placed; j++) {
      let weight = 1;
      if (variant === "final" && j <= nInit) weight = (nInit + 1) / nInit;
      if (variant === "first" && j < nInit) weight = 0;
      edges[j] = edges[j - 1] + weight;
    }
    const total = edges[placed];
    for (let j = 0; j < placed; j++) parts[j] = (edges[j + 1] - edges[j]) / total;
    return { uniform: edges[0] / total, parts };
  }

  /** The part of the table that lies inside the image around a cell: bounds in the image, inclusive. */
  function windowOf(cell, table, height, width) {
    return {
      top: Math.max(cell.row - table.reach, 0),
      bottom: Math.min(cell.row + table.reach, height - 1),
      left: Math.max(cell.column - table.reach, 0),
      right: Math.min(cell.column + table.reach, width - 1),
    };
  }

  function eachPixel(cell, table, height, width, use) {
    const seen = windowOf(cell, table, height, width);
    for (let row = seen.top; row <= seen.bottom; row++) {
      let at = (row - cell.row + table.reach) * table.side + seen.left - cell.column + table.reach;
      for (let column = seen.left; column <= seen.right; column++) use(row * width + column, table.values[at++]);
    }
  }

  /** Add a cell's z, normalised inside the image and times a weight, to a map of height × width. */
  function addExcitation(map, cell, table, height, width, weight) {
    let mass = 0;
    eachPixel(cell, table, height, width, (_, z) => (mass += z));
    eachPixel(cell, table, height, width, (pixel, z) => (map[pixel] += (weight / mass) * z));
  }

  /** The whole map P of the next cell; sums to 1. */
  function probabilityMap(cells, height, width, law) {
    const { uniform, parts } = componentWeights(cells.length, law.nInit, law.variant);
    const map = new Float64Array(height * width).fill(uniform / (height * width));
    const table = excitationTable(law.cellSize, law.core);
    cells.forEach((cell, k) => {
      if (parts[k] > 0) addExcitation(map, cell, table, height, width, parts[k]);
    });
    return map;
  }

  /** One layout as it grows. `uniform()` gives numbers from 0 up to 1; nothing else is random. */
  class Layout {
    constructor(law, height, width, uniform) {
      if (2 * law.cellSize > Math.min(height, width)) {
        throw new RangeError(`cellSize ${law.cellSize}: at most half of the shorter side is allowed`);
      }
      Object.assign(this, { law, height, width, uniform });
      this.table = excitationTable(law.cellSize, law.core);
      this.cells = [];
      this.trials = [];
    }

    /** Draw a location from P of the next cell. */
    draw() {
      const { uniform, parts } = componentWeights(this.cells.length, this.law.nInit, this.law.variant);
      const edges = new Float64Array(parts.length + 1);
      edges[0] = uniform;
      for (let j = 0; j < parts.length; j++) edges[j + 1] = edges[j] + parts[j];
      const pick = firstAbove(edges, this.uniform() * edges[edges.length - 1]) - 1;
      if (pick >= 0) return this.around(this.cells[pick]);
      const pixel = Math.floor(this.uniform() * this.height * this.width);
      return { row: Math.floor(pixel / this.width), column: pixel % this.width };
    }

    /** Draw around a cell; while the place is outside the image the offset alone is drawn again. */
    around(cell) {
      let found = this.offset(cell);
      for (let round = 0; round < ROUNDS && !this.isInside(found); round++) {
        const some = Array.from({ length: BATCH }, () => this.offset(cell));
        found = some.find((place) => this.isInside(place)) || some[0];
      }
      return this.isInside(found) ? found : this.fromWindow(cell);
    }

    offset(cell) {
      const { cumulative, reach, side } = this.table;
      const level = this.uniform() * cumulative[cumulative.length - 1];
      const flat = Math.min(firstAbove(cumulative, level), cumulative.length - 1);
      return { row: cell.row + Math.floor(flat / side) - reach, column: cell.column + (flat % side) - reach };
    }

    fromWindow(cell) {
      const pixels = [];
      const sums = [];
      let sum = 0;
      eachPixel(cell, this.table, this.height, this.width, (pixel, z) => {
        pixels.push(pixel);
        sums.push((sum += z));
      });
      const pixel = pixels[Math.min(firstAbove(sums, this.uniform() * sum), sums.length - 1)];
      return { row: Math.floor(pixel / this.width), column: pixel % this.width };
    }

    isInside(place) {
      return place.row >= 0 && place.row < this.height && place.column >= 0 && place.column < this.width;
    }

    isFree(place) {
      const squared = this.law.cellSize ** 2;
      return this.cells.every((one) => (one.row - place.row) ** 2 + (one.column - place.column) ** 2 >= squared);
    }

    /** Add the next cell and give it; null where none found room in so many trials. */
    step(most = 4000) {
      for (let trial = 1; trial <= most; trial++) {
        const place = this.draw();
        if (this.isFree(place)) {
          this.cells.push(place);
          this.trials.push(trial);
          return place;
        }
      }
      return null;
    }
  }

  /** g(r) of the cells in a rectangle, mean over each bin, with translation edge correction (Ohser 1983). */
  class PairCorrelation {
    constructor(height, width, edges) {
      Object.assign(this, { height, width, edges, cells: [] });
      this.sums = new Float64Array(edges.length - 1);
    }

    add(cell) {
      for (const other of this.cells) {
        const down = Math.abs(other.row - cell.row);
        const across = Math.abs(other.column - cell.column);
        const bin = firstAbove(this.edges, Math.sqrt(down * down + across * across)) - 1;
        if (bin >= 0 && bin < this.sums.length) this.sums[bin] += 1 / ((this.height - down) * (this.width - across));
      }
      this.cells.push(cell);
    }

    values() {
      const n = this.cells.length;
      const scale = (2 * (this.height * this.width) ** 2) / (n * (n - 1));
      return Array.from(this.sums, (sum, k) => {
        const ring = Math.PI * (this.edges[k + 1] ** 2 - this.edges[k] ** 2);
        return n < 2 ? NaN : (scale * sum) / ring;
      });
    }
  }

  /** A small seeded generator (mulberry32), for the page: the same number gives the same layout. */
  function seeded(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = state;
      t = Math.imul(t ^ (t >>> 15), t | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  const Adhesion = {
    excitation,
    excitationTable,
    componentWeights,
    addExcitation,
    probabilityMap,
    Layout,
    PairCorrelation,
    seeded,
  };
  if (typeof module === "object" && module.exports) module.exports = Adhesion;
  else root.Adhesion = Adhesion;
})(typeof self === "object" ? self : this);
