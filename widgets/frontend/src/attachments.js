import { h, iconButton } from "./dom.js";

/** The notebook's variables that go with the next prompt. */
export class Attachments {
  constructor(onchange) {
    this.onchange = onchange;
    this.items = new Map();
    this.node = h("div", { class: "lab-chat-chips", role: "list", "aria-label": "Attached variables", hidden: true });
  }

  get names() {
    return [...this.items.keys()];
  }

  add({ name, kind }) {
    if (this.items.has(name)) return;
    const remove = iconButton("close", `Do not attach ${name}`, () => this.remove(name), "lab-chat-quiet");
    const chip = h("span", { class: "lab-chat-chip", role: "listitem" }, `@${name}`, h("small", {}, kind), remove);
    this.items.set(name, chip);
    this.node.append(chip);
    this.#changed();
  }

  remove(name) {
    this.items.get(name)?.remove();
    this.items.delete(name);
    this.#changed();
  }

  clear() {
    this.items.clear();
    this.node.replaceChildren();
    this.node.hidden = true;
  }

  #changed() {
    this.node.hidden = !this.items.size;
    this.onchange();
  }
}
