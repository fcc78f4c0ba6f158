/* One mask in ten styles and a slider between them. Without this script all ten are shown. */
(function () {
  "use strict";

  for (const place of document.querySelectorAll("[data-play=styles]")) {
    const images = Array.from(place.querySelectorAll("img"));
    const slider = document.createElement("input");
    slider.type = "range";
    slider.name = "style";
    slider.min = 0;
    slider.max = images.length - 1;
    slider.value = 0;
    const shown = document.createElement("output");
    const move = () => {
      images.forEach((image, k) => (image.hidden = k !== Number(slider.value)));
      shown.textContent = slider.value;
      slider.setAttribute("aria-valuetext", `style ${slider.value}: ${images[slider.value].alt}`);
    };
    slider.addEventListener("input", move);
    const label = document.createElement("label");
    const text = document.createElement("span");
    text.append("style cluster: ", shown);
    label.append(text, slider);
    const controls = document.createElement("div");
    controls.className = "bl-controls";
    controls.append(label);
    place.append(controls);
    place.classList.add("bl-live");
    move();
  }
})();
