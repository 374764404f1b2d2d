// A box dragged on a photo fills the four fields of the form below it, which also work by themselves.
"use strict";
(() => {
  const fields = () => ["x", "y", "width", "height"].map((name) => document.querySelector(`#region [name=${name}]`));
  let start = null;

  const at = (svg, event) => {
    const bounds = svg.getBoundingClientRect();
    const view = svg.viewBox.baseVal;
    const clamp = (value, most) => Math.round(Math.min(Math.max(value, 0), most));
    return [
      clamp(((event.clientX - bounds.left) / bounds.width) * view.width, view.width),
      clamp(((event.clientY - bounds.top) / bounds.height) * view.height, view.height),
    ];
  };

  const show = () => {
    const drawn = document.querySelector(".o-drawn");
    const values = fields().map((field) => Number(field && field.value) || 0);
    if (drawn) {
      ["x", "y", "width", "height"].forEach((name, i) => drawn.setAttribute(name, values[i]));
    }
  };

  document.addEventListener("pointerdown", (event) => {
    const svg = event.target instanceof Element && event.target.closest("svg[data-draw]");
    if (!svg || event.button !== 0) {
      return;
    }
    event.preventDefault();
    svg.setPointerCapture(event.pointerId);
    start = at(svg, event);
  });
  document.addEventListener("pointermove", (event) => {
    const svg = document.querySelector("svg[data-draw]");
    if (!start || !svg) {
      return;
    }
    const [x, y] = at(svg, event);
    const box = [Math.min(x, start[0]), Math.min(y, start[1]), Math.abs(x - start[0]), Math.abs(y - start[1])];
    if (box[2] > 3 && box[3] > 3) {
      fields().forEach((field, i) => {
        field.value = box[i];
      });
      show();
    }
  });
  document.addEventListener("pointerup", () => {
    if (start) {
      start = null;
      const button = document.getElementById("search-box");
      if (button) {
        button.focus({ preventScroll: true });
      }
    }
  });
  document.addEventListener("input", (event) => {
    if (event.target.form && event.target.form.id === "region") {
      show();
    }
  });
})();
