(() => {
  "use strict";
  const find = (selector) => [...document.querySelectorAll(selector)];
  const query = document.getElementById("query");
  const suite = document.getElementById("suite");
  const tier = document.getElementById("tier");
  const shown = document.getElementById("shown");
  const buttons = find("button[data-word]");
  const cases = find(".case").map((element) => ({
    element, text: element.dataset.text, word: element.dataset.word, suite: element.dataset.suite,
    tier: element.dataset.tier,
  }));
  const apply = () => {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    const pressed = buttons.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.word);
    let count = 0;
    for (const one of cases) {
      const hit = words.every((word) => one.text.includes(word))
        && (pressed.length === 0 || pressed.includes(one.word))
        && (suite.value === "" || one.suite === suite.value)
        && (!tier || tier.value === "" || one.tier === tier.value);
      one.element.hidden = !hit;
      count += hit ? 1 : 0;
    }
    shown.textContent = `${count} of ${cases.length}`;
  };
  query.addEventListener("input", apply);
  suite.addEventListener("change", apply);
  if (tier) { tier.addEventListener("change", apply); }
  for (const button of buttons) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      apply();
    });
  }
  const open = () => {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") {
      target.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", open);
  addEventListener("beforeprint", () => { for (const one of cases) { one.element.open = !one.element.hidden; } });
  apply();
  open();
})();
