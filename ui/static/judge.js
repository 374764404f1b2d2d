// Keys for hits: arrows or j/k move, y/n/s judge, x ticks, m/l more and less like it, u undoes, a searches again.
"use strict";
(() => {
  const cards = () => [...document.querySelectorAll(".card")];
  const cardOf = (element) => (element instanceof Element ? element.closest(".card") : null);

  const focusCard = (card) => {
    const link = card && card.querySelector(".picture");
    if (link) {
      link.focus();
      link.scrollIntoView({ block: "nearest" });
    }
  };

  const step = (by) => {
    const all = cards();
    const at = all.indexOf(cardOf(document.activeElement));
    focusCard(at < 0 ? all[0] : all[Math.min(Math.max(at + by, 0), all.length - 1)]);
  };

  const columns = () => {
    const all = cards();
    const top = all.length ? all[0].offsetTop : 0;
    return Math.max(all.filter((card) => card.offsetTop === top).length, 1);
  };

  const press = (card, selector) => {
    const button = card.querySelector(selector);
    if (!button) {
      return false;
    }
    button.click();
    return true;
  };

  const judges = { y: ".yes", n: ".no", s: ".skip-it" };
  const terms = { m: ".more-like", l: ".less-like" };
  const moves = { ArrowRight: () => 1, ArrowLeft: () => -1, ArrowDown: columns, ArrowUp: () => -columns(), j: () => 1, k: () => -1 };
  const buttons = { u: "undo", a: "again" };

  document.addEventListener("keydown", (event) => {
    const field = event.target instanceof Element && event.target.closest("input:not([type=checkbox]), textarea, select, summary");
    if (field || event.ctrlKey || event.metaKey || event.altKey || !cards().length) {
      return;
    }
    const card = cardOf(document.activeElement);
    if (event.key in moves) {
      if (!card && event.key.startsWith("Arrow") && document.activeElement !== document.body && document.activeElement.id !== "main") {
        return;
      }
      event.preventDefault();
      step(moves[event.key]());
    } else if (card && event.key in judges) {
      event.preventDefault();
      if (press(card, judges[event.key])) {
        step(1);
      }
    } else if (card && event.key in terms) {
      event.preventDefault();
      press(card, terms[event.key]);
    } else if (card && event.key === "x") {
      event.preventDefault();
      press(card, ".tick input");
    } else if (event.key in buttons) {
      const button = document.getElementById(buttons[event.key]);
      if (button && !button.disabled) {
        event.preventDefault();
        button.click();
      }
    }
  });

  // One request after the other, so that quick fingers lose nothing and start one set alone.
  let sent = Promise.resolve();
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element && event.target.closest("#judge button[name]");
    if (button && window.htmx) {
      event.preventDefault();
      const values = { [button.name]: button.value };
      const send = () => window.htmx.ajax("POST", "/hits", { source: "#judge", swap: "none", values });
      sent = sent.then(send).catch(() => {});
    }
  });

  // Only "Rest: no" needs the list of what is shown, which is long after much scrolling.
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.path === "/hits" && !("rest" in event.detail.parameters)) {
      delete event.detail.parameters.shown;
    }
  });
  document.addEventListener("htmx:oobAfterSwap", (event) => {
    const mark = event.detail.target;
    if (mark && mark.classList && mark.classList.contains("verdict")) {
      const now = document.getElementById(mark.id) || mark;
      window.desk.announce(now.dataset.verdict || "not judged");
    }
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const parameters = event.detail.requestConfig ? event.detail.requestConfig.parameters : {};
    if ("all" in parameters && event.detail.successful) {
      document.querySelectorAll(".tick input:checked").forEach((tick) => {
        tick.checked = false;
      });
    }
  });
})();
