import { h, uniqueId } from "./dom.js";

const MENTION = /(?:^|[\s([{,;])@([\w.]*)$/u;

/** Completes the notebook's variables after an @. */
export class Completion {
  constructor(field, channel, onchoose) {
    this.field = field;
    this.channel = channel;
    this.onchoose = onchoose;
    this.items = [];
    this.chosen = 0;
    this.turn = 0;
    this.node = h("div", { class: "lab-chat-completion", role: "listbox", "aria-label": "Variables of the notebook", id: uniqueId("completion"), hidden: true });
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-controls", this.node.id);
    field.addEventListener("input", () => this.#look());
    field.addEventListener("keydown", (event) => this.#key(event));
    field.addEventListener("blur", () => this.#close());
    // The field keeps the focus while the mouse chooses.
    this.node.addEventListener("mousedown", (event) => event.preventDefault());
    this.node.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.#choose(Number(option.dataset.index));
    });
  }

  /** Write an @ and complete after it. */
  start() {
    const { field } = this;
    field.focus();
    const before = field.value.slice(0, field.selectionStart);
    const at = !before || /\s$/.test(before) ? "@" : " @";
    field.setRangeText(at, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  get open() {
    return !this.node.hidden;
  }

  #mention() {
    return MENTION.exec(this.field.value.slice(0, this.field.selectionStart));
  }

  async #look() {
    const mention = this.#mention();
    this.turn += 1;
    if (!mention) {
      this.#close();
      return;
    }
    const { turn } = this;
    const reply = await this.channel.request("complete", { prefix: mention[1] });
    if (turn !== this.turn) return; // more was typed meanwhile
    if (reply.ok) this.#show(reply.items);
    else this.#note(`${reply.reason} ${reply.remedy}`);
  }

  #show(items) {
    this.items = items;
    this.chosen = 0;
    if (!items.length) {
      this.#note("No variable of the notebook begins like this.");
      return;
    }
    const options = items.map(({ name, kind, summary }, index) =>
      h("div", { role: "option", class: "lab-chat-option", id: `${this.node.id}-${index}`, "data-index": index }, h("strong", {}, name), h("span", {}, kind), h("small", {}, summary)),
    );
    this.node.replaceChildren(...options);
    this.node.hidden = false;
    this.#mark();
  }

  #note(text) {
    this.items = [];
    this.node.replaceChildren(h("div", { class: "lab-chat-option lab-chat-option-note", role: "option", "aria-disabled": "true", "aria-selected": "false" }, text));
    this.node.hidden = false;
    this.field.removeAttribute("aria-activedescendant");
  }

  #mark() {
    this.node.querySelectorAll("[role=option]").forEach((option, index) => {
      option.setAttribute("aria-selected", String(index === this.chosen));
      if (index === this.chosen) option.scrollIntoView({ block: "nearest" });
    });
    this.field.setAttribute("aria-activedescendant", `${this.node.id}-${this.chosen}`);
  }

  #key(event) {
    if (!this.open) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") {
      event.stopPropagation();
      this.#close();
    } else if (!this.items.length) {
      return;
    } else if (step) {
      this.chosen = (this.chosen + step + this.items.length) % this.items.length;
      this.#mark();
    } else if ((event.key === "Enter" && !event.shiftKey) || event.key === "Tab") {
      this.#choose(this.chosen);
    } else {
      return;
    }
    event.preventDefault();
  }

  #choose(index) {
    const item = this.items[index];
    const mention = this.#mention();
    if (item && mention) {
      const end = this.field.selectionStart;
      this.field.setRangeText(`@${item.name} `, end - mention[1].length - 1, end, "end");
    }
    this.#close();
    if (item) this.onchoose(item);
    this.field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  #close() {
    this.turn += 1;
    this.node.hidden = true;
    this.field.removeAttribute("aria-activedescendant");
  }
}
