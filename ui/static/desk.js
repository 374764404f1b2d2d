// The page without htmx's part: pasted and dropped pictures, forms that send themselves, what screen
// readers are told. Everything here only adds to forms and links that work by themselves.
"use strict";
(() => {
  document.documentElement.classList.add("js");

  const announce = (text) => {
    const live = document.getElementById("live");
    if (live && text) {
      live.textContent = "";
      live.textContent = text;
    }
  };
  window.desk = { announce };

  document.addEventListener("change", (event) => {
    const field = event.target;
    if (field.id === "picture" && field.files.length) {
      field.form.requestSubmit();
    } else if (field.hasAttribute("data-submits") && field.form.checkValidity()) {
      field.form.requestSubmit();
    } else if (field.hasAttribute("data-layer")) {
      document.querySelector("#photo svg").classList.toggle(`show-${field.dataset.layer}`, field.checked);
    }
  });

  // Enter in the filter sends it; a new line there means nothing.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.tagName === "TEXTAREA" && !event.isComposing) {
      event.preventDefault();
      event.target.form.requestSubmit();
    }
  });

  const send = (files) => {
    const picture = [...files].find((file) => /^image\/(jpeg|png|webp)$/.test(file.type));
    const input = document.getElementById("picture");
    if (!picture) {
      announce("Only JPEG, PNG and WebP pictures can be searched");
      return;
    }
    if (!input) {
      return;
    }
    const carrier = new DataTransfer();
    carrier.items.add(picture);
    input.files = carrier.files;
    input.form.requestSubmit();
  };

  document.addEventListener("paste", (event) => {
    if (event.clipboardData && event.clipboardData.files.length) {
      event.preventDefault();
      send(event.clipboardData.files);
    }
  });

  const drop = () => document.getElementById("drop");
  const carriesFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (carriesFiles(event)) {
      event.preventDefault();
      drop().hidden = !document.getElementById("picture");
    }
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) {
      drop().hidden = true;
    }
  });
  document.addEventListener("drop", (event) => {
    drop().hidden = true;
    if (carriesFiles(event)) {
      event.preventDefault();
      send(event.dataTransfer.files);
    }
  });

  document.addEventListener("htmx:beforeRequest", () => document.documentElement.classList.add("busy"));
  document.addEventListener("htmx:afterRequest", () => document.documentElement.classList.remove("busy"));
  document.addEventListener("htmx:sendError", () => announce("The page's own server does not answer"));
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target && event.detail.target.id === "main") {
      announce(document.getElementById("main").dataset.announce);
    }
  });
})();
