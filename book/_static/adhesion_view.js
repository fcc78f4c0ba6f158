/* What the reader sees of adhesion.js: sliders, the map with its cells, g(r) beside it. Needs no server. */
(function () {
  "use strict";

  const HEIGHT = 400;
  const WIDTH = 640;
  const REACH = 5; // g(r) is shown up to this many cell sizes
  const BINS_PER_SIZE = 6;
  const SVG = "http://www.w3.org/2000/svg";
  // Five colours of matplotlib's viridis, dark to bright; between them straight lines.
  const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
  const CELL = "rgba(255, 255, 255, 0.92)";

  const SLIDERS = [
    { name: "count", text: "cells asked for, n", min: 20, max: 450, step: 10, value: 220 },
    { name: "nInit", text: "seeds, n_init", min: 1, max: 100, step: 1, value: 12 },
    { name: "cellSize", text: "cell size in pixels", min: 10, max: 46, step: 1, value: 20 },
  ];
  const CHOICES = [
    { name: "core", text: "core of the excitation", values: { inverted: "inverted, 1 − g", zero: "zero" } },
    {
      name: "variant",
      text: "version of Eq. 3",
      values: { final: "final, three cases", first: "first, two cases", uniform: "none: uniform" },
    },
  ];

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  function draw(tag, attributes, text) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text) element.textContent = text;
    return element;
  }

  function palette() {
    const colours = new Uint32Array(256);
    for (let k = 0; k < 256; k++) {
      const at = (k / 255) * (VIRIDIS.length - 1);
      const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
      const [r, g, b] = VIRIDIS[low].map((v, c) => Math.round(v + (at - low) * (VIRIDIS[low + 1][c] - v)));
      colours[k] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
    return colours;
  }

  class Player {
    constructor(place) {
      this.place = place;
      this.settings = { core: "inverted", variant: "final" };
      this.seed = 1;
      this.colours = palette();
      this.build();
      this.restart();
      const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      if (!calm) this.play();
    }

    build() {
      this.canvas = make("canvas", { width: WIDTH, height: HEIGHT, role: "img" });
      this.plot = draw("svg", { viewBox: "0 0 400 272", role: "img" });
      this.said = make("p", { class: "bl-said", role: "status", "aria-live": "polite" });
      const controls = make("div", { class: "bl-controls" });
      for (const one of SLIDERS) {
        const { name, text, ...range } = one;
        this.settings[name] = one.value;
        const shown = make("output", {}, String(one.value));
        const input = make("input", { type: "range", name, ...range });
        input.addEventListener("input", () => {
          this.settings[name] = Number(input.value);
          shown.textContent = input.value;
          this.restart();
          this.play();
        });
        controls.append(make("label", {}, make("span", {}, `${text}: `, shown), input));
      }
      for (const { name, text, values } of CHOICES) {
        const options = Object.entries(values).map(([value, said]) => make("option", { value }, said));
        const select = make("select", { name }, ...options);
        select.addEventListener("change", () => {
          this.settings[name] = select.value;
          this.restart();
          this.play();
        });
        controls.append(make("label", {}, make("span", {}, text), select));
      }
      this.toggle = this.button("Play", "toggle", () => (this.timer ? this.pause() : this.play()));
      const one = this.button("One cell", "step", () => {
        this.pause();
        this.advance();
      });
      const again = this.button("Another draw", "again", () => {
        this.seed += 1;
        this.restart();
        this.play();
      });
      const buttons = make("div", { class: "bl-buttons" }, this.toggle, one, again);
      const left = make("div", { class: "bl-map" }, this.canvas, this.said);
      const right = make("div", { class: "bl-plot" }, this.plot);
      this.place.replaceChildren(make("div", { class: "bl-views" }, left, right), controls, buttons);
    }

    button(text, name, act) {
      const button = make("button", { type: "button", name }, text);
      button.addEventListener("click", act);
      return button;
    }

    restart() {
      const { count, ...law } = this.settings;
      this.count = count;
      this.layout = new Adhesion.Layout(law, HEIGHT, WIDTH, Adhesion.seeded(this.seed));
      const bins = REACH * BINS_PER_SIZE;
      this.edges = Array.from({ length: bins + 1 }, (_, k) => (k * law.cellSize) / BINS_PER_SIZE);
      this.pairs = new Adhesion.PairCorrelation(HEIGHT, WIDTH, this.edges);
      this.excited = new Float64Array(HEIGHT * WIDTH);
      this.floor = 0; // of the map, before it is normalised
      this.full = false;
      this.show();
    }

    play() {
      if (!this.timer) this.timer = requestAnimationFrame(() => this.frame());
      this.toggle.textContent = "Pause";
    }

    pause() {
      cancelAnimationFrame(this.timer);
      this.timer = 0;
      this.toggle.textContent = "Play";
    }

    isDone() {
      return this.full || this.layout.cells.length >= this.count;
    }

    frame() {
      this.timer = 0;
      if (this.isDone()) this.restart(); // played again after its end
      this.advance();
      if (this.isDone()) this.pause();
      else this.play();
    }

    /** One more cell; its z joins the running sum that the map is shown from. */
    advance() {
      if (this.isDone()) return;
      const cell = this.layout.step();
      this.full = cell === null;
      if (cell) {
        this.pairs.add(cell);
        this.remember(cell);
      }
      this.show();
    }

    remember(cell) {
      const { nInit, variant } = this.settings;
      const placed = this.layout.cells.length;
      let weight = 1;
      if (variant === "final" && placed <= nInit) weight = (nInit + 1) / nInit;
      if (variant === "uniform" || (variant === "first" && placed < nInit)) weight = 0;
      if (variant === "first") this.floor = nInit / (HEIGHT * WIDTH);
      if (weight) Adhesion.addExcitation(this.excited, cell, this.layout.table, HEIGHT, WIDTH, weight);
    }

    show() {
      this.showMap();
      this.showPairs();
      this.say();
    }

    showMap() {
      const context = this.canvas.getContext("2d");
      const picture = context.createImageData(WIDTH, HEIGHT);
      const pixels = new Uint32Array(picture.data.buffer);
      const seeding = this.settings.variant === "uniform" || this.layout.cells.length < this.settings.nInit;
      let top = 0;
      if (!seeding) for (const value of this.excited) if (value > top) top = value;
      top += this.floor;
      for (let k = 0; k < pixels.length; k++) {
        const level = seeding ? 0.35 : (this.excited[k] + this.floor) / top;
        pixels[k] = this.colours[Math.round(255 * level)];
      }
      context.putImageData(picture, 0, 0);
      context.lineWidth = 1.5;
      const radius = this.settings.cellSize / 2 - 1;
      this.layout.cells.forEach((cell, k) => {
        const newest = k === this.layout.cells.length - 1;
        context.beginPath();
        context.arc(cell.column + 0.5, cell.row + 0.5, radius, 0, 2 * Math.PI);
        context.fillStyle = newest ? "#d55e00" : "rgba(122, 46, 92, 0.55)";
        context.strokeStyle = CELL;
        context.fill();
        context.stroke();
      });
    }

    showPairs() {
      const g = this.pairs.values();
      const most = Math.max(3, ...g.filter(Number.isFinite).map(Math.ceil));
      const x = (sizes) => 44 + (sizes / REACH) * 300;
      const y = (value) => 212 - (value / most) * 186;
      const parts = [
        draw("line", { x1: 44, x2: 344, y1: y(1), y2: y(1), class: "bl-chance" }),
        draw("text", { x: 348, y: y(1) + 4 }, "chance"),
        draw("line", { x1: x(1), x2: x(1), y1: 20, y2: 212, class: "bl-touch" }),
        draw("text", { x: x(1) - 12, y: 13 }, "two cells touch"),
        draw("path", { d: "M44 26V212H344", class: "bl-axis" }),
        draw("text", { x: 194, y: 258, "text-anchor": "middle" }, "distance r, in cell sizes"),
        draw("text", { x: 14, y: 114, transform: "rotate(-90 14 114)", "text-anchor": "middle" }, "g(r)"),
      ];
      for (let k = 0; k <= REACH; k++) parts.push(draw("text", { x: x(k), y: 232, "text-anchor": "middle" }, String(k)));
      const step = Math.ceil(most / 6);
      for (let k = 0; k <= most; k += step) parts.push(draw("text", { x: 36, y: y(k) + 4, "text-anchor": "end" }, `${k}`));
      if (this.layout.cells.length > 1) {
        const steps = g.map((value, k) => `${k ? "L" : "M"}${x(k / BINS_PER_SIZE)} ${y(value)}H${x((k + 1) / BINS_PER_SIZE)}`);
        parts.push(draw("path", { d: steps.join(""), class: "bl-curve" }));
      }
      this.plot.replaceChildren(...parts);
    }

    say() {
      const placed = this.layout.cells.length;
      const tried = this.layout.trials.reduce((sum, n) => sum + n, 0);
      const covered = (placed * Math.PI * this.settings.cellSize ** 2) / 4 / (HEIGHT * WIDTH);
      const state = `${placed} of ${this.count} cells`;
      const near = this.pairs.values()[BINS_PER_SIZE];
      this.canvas.setAttribute("aria-label", `Probability map of the next cell, and the cells so far: ${state}`);
      const end = this.full ? " Full: the next cell found no room in 4,000 tries." : "";
      const detail = placed > 1 ? `, ${(tried / placed).toFixed(1)} trials each, about ${Math.round(100 * covered)} % covered.` : ".";
      const g = Number.isFinite(near) ? ` g just beyond touching: ${near.toFixed(1)}.` : "";
      this.plot.setAttribute("aria-label", `Pair-correlation function g(r) of ${placed} cells.${g}`);
      // A screen reader is told at the end, not at every cell.
      this.said.setAttribute("aria-live", this.isDone() ? "polite" : "off");
      this.said.textContent = state + detail + g + end;
    }
  }

  for (const place of document.querySelectorAll("[data-play=adhesion]")) place.player = new Player(place);
})();
