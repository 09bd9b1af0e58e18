import { h } from "./dom.js";

/** Make a toolbar: one stop of the Tab key, arrows go from button to button. */
export function toolbar(label, ...buttons) {
  const bar = h("div", { class: "lab-chat-tools", role: "toolbar", "aria-label": label }, ...buttons);
  bar.classList.toggle("lab-chat-branched", Boolean(bar.querySelector(".lab-chat-branch")));
  const all = () => [...bar.querySelectorAll("button:not(:disabled)")];
  const choose = (chosen) => {
    for (const button of bar.querySelectorAll("button")) button.tabIndex = button === chosen ? 0 : -1;
  };
  choose(bar.querySelector("button"));
  bar.addEventListener("focusin", (event) => choose(event.target.closest("button")));
  bar.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const buttons = all();
    if (!step || !buttons.length) return;
    event.preventDefault();
    const at = buttons.indexOf(document.activeElement ?? null);
    buttons[(at + step + buttons.length) % buttons.length].focus();
  });
  return bar;
}

/** Make ‹ 2/3 ›, which goes through the versions of an entry, or null if there is only one. */
export function branchSwitcher({ index, count } = { index: 0, count: 1 }, step, makeButton) {
  if (!(count > 1)) return null;
  const back = makeButton("left", "Previous version", () => step(-1));
  const on = makeButton("right", "Next version", () => step(1));
  back.disabled = index === 0;
  on.disabled = index === count - 1;
  back.dataset.end = String(index === 0);
  on.dataset.end = String(index === count - 1);
  const place = h("span", { class: "lab-chat-branch-place", "aria-label": `Version ${index + 1} of ${count}`, role: "img" }, `${index + 1}/${count}`);
  return h("span", { class: "lab-chat-branch" }, back, place, on);
}
