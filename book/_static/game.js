/* Twenty tiles, one at a time: original or painted? The score at the end, and what guessing would have given. */
(function (root) {
  "use strict";

  /** Probability that someone who guesses is right at least so often. */
  function byChance(right, tiles) {
    let term = 0.5 ** tiles;
    let sum = 0;
    for (let k = 0; k <= tiles; k++) {
      if (k >= right) sum += term;
      term *= (tiles - k) / (k + 1);
    }
    return sum;
  }

  function verdict(right, tiles, original) {
    const chance = byChance(right, tiles);
    const often = chance < 0.001 ? "in fewer than 1 of 1,000 games" : `in ${(100 * chance).toPrecision(2)} % of games`;
    const told = `${right} of ${tiles} right, ${Math.round((100 * right) / tiles)} %.`;
    const guess = ` Somebody who tosses a coin gets that or more ${often}.`;
    let meaning = " So you did see a difference.";
    if (chance > 0.05) meaning = " So this game does not show that you can tell them apart, nor that nobody can.";
    if (byChance(tiles - right, tiles) <= 0.05) {
      meaning = ` So you did see a difference, and took it the wrong way round: you called ${original} what is painted.`;
    }
    return told + guess + meaning;
  }

  class Game {
    constructor(place) {
      this.place = place;
      this.images = Array.from(place.querySelectorAll("img"));
      this.names = this.images.map((image) => image.alt);
      this.original = place.dataset.original;
      this.order = this.images.map((_, k) => k);
      this.count = this.part("p", "bl-count");
      this.said = this.part("p", "bl-said");
      this.said.setAttribute("role", "status");
      this.said.tabIndex = -1; // so that the focus can be put there when the buttons are gone
      this.choices = this.part("div", "bl-buttons");
      for (const [name, text] of [["original", this.original], ["painted", "painted"]]) {
        this.choices.append(this.button(name, text, () => this.answer(name)));
      }
      this.after = this.part("div", "bl-buttons");
      this.after.append(this.button("again", "Again, in another order", () => this.again()));
      place.append(this.count, this.choices, this.said, this.after);
      place.classList.add("bl-live");
      this.begin();
    }

    button(name, text, act) {
      const button = document.createElement("button");
      button.type = "button";
      button.name = name;
      button.textContent = text;
      button.addEventListener("click", act);
      return button;
    }

    begin() {
      this.answers = [];
      this.images.forEach((image, k) => {
        image.alt = this.names[k];
        image.parentElement.querySelector("figcaption").textContent = "";
      });
      this.place.classList.remove("bl-over");
      this.choices.hidden = false;
      this.after.hidden = true;
      this.said.textContent = "";
      this.show();
    }

    again() {
      for (let k = this.order.length - 1; k > 0; k--) {
        const other = Math.floor(Math.random() * (k + 1));
        [this.order[k], this.order[other]] = [this.order[other], this.order[k]];
      }
      this.begin();
      this.choices.firstElementChild.focus();
    }

    part(tag, name) {
      const element = document.createElement(tag);
      element.className = name;
      return element;
    }

    show() {
      const at = this.answers.length;
      this.images.forEach((image, k) => (image.parentElement.hidden = k !== this.order[at]));
      this.count.textContent = `Tile ${at + 1} of ${this.images.length}: ${this.original} or painted?`;
    }

    answer(name) {
      this.answers.push(name);
      if (this.answers.length < this.images.length) this.show();
      else this.finish();
    }

    finish() {
      let right = 0;
      this.order.forEach((tile, k) => {
        const image = this.images[tile];
        const kind = image.dataset.kind;
        const hit = kind === this.answers[k];
        right += hit;
        const truth = kind === "painted" ? "painted" : this.original;
        const caption = image.parentElement.querySelector("figcaption");
        caption.textContent = `${truth}${hit ? " ✓" : ", missed ✗"}`;
        image.alt = `${image.alt}: ${caption.textContent}`;
        image.parentElement.hidden = false;
      });
      this.place.classList.add("bl-over");
      this.count.textContent = "All tiles, and what they were:";
      this.choices.hidden = true;
      this.after.hidden = false;
      this.said.textContent = verdict(right, this.images.length, this.original);
      this.said.focus();
    }
  }

  const api = { byChance, verdict };
  if (typeof module === "object" && module.exports) module.exports = api;
  else root.BlindGame = api;
  if (typeof document === "object") {
    for (const place of document.querySelectorAll("[data-play=game]")) place.game = new Game(place);
  }
})(typeof self === "object" ? self : this);
