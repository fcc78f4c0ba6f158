/* Two pictures over one another and a slider between them. Without this script both are shown, one below the other. */
(function () {
  "use strict";

  for (const stage of document.querySelectorAll("[data-play=compare]")) {
    const [left, right] = Array.from(stage.querySelectorAll("img"), (image) => image.dataset.name);
    const slider = document.createElement("input");
    slider.type = "range";
    slider.min = 0;
    slider.max = 100;
    slider.value = 50;
    slider.setAttribute("aria-label", `Divide between ${left}, left, and ${right}, right`);
    const move = () => {
      stage.style.setProperty("--cut", `${slider.value}%`);
      slider.setAttribute("aria-valuetext", `${slider.value} percent ${left}`);
    };
    slider.addEventListener("input", move);
    for (const [side, text] of [["left", left], ["right", right]]) {
      const tag = document.createElement("span");
      tag.className = `bl-tag bl-tag-${side}`;
      tag.textContent = text;
      stage.append(tag);
    }
    stage.append(slider);
    stage.classList.add("bl-live");
    move();
  }
})();
