import { h, iconButton, uniqueId } from "./dom.js";
import { count, money } from "./numbers.js";

const PAUSE = 500; // milliseconds without typing before tokens are counted
const LABEL = "Show exactly what will be sent";
const LONG = new Set(["tools", "system", "history", "prompt"]); // known to whoever wrote them, and shown when asked for

/** What exactly would be sent now, with its tokens and its price. */
export class Preview {
  constructor(channel, current) {
    this.channel = channel;
    this.current = current;
    this.turn = 0;
    this.node = h("div", { class: "lab-chat-preview", id: uniqueId("preview"), role: "region", "aria-label": "What will be sent", hidden: true });
    this.button = iconButton("eye", LABEL, () => this.toggle(), "lab-chat-quiet lab-chat-preview-button");
    this.button.setAttribute("aria-expanded", "false");
    this.button.setAttribute("aria-controls", this.node.id);
    this.figure = h("span", { class: "lab-chat-preview-figure" });
    this.button.append(this.figure);
    this.node.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
      this.button.focus();
    });
  }

  /** The prompt or its attachments changed. */
  changed() {
    clearTimeout(this.timer);
    this.turn += 1;
    const { text, attachments } = this.current();
    if (!text.trim() && !attachments.length) {
      this.#say("");
      this.#hide();
    } else {
      this.timer = setTimeout(() => this.#ask(), PAUSE);
    }
  }

  toggle() {
    if (!this.node.hidden) {
      this.#hide();
      return;
    }
    this.node.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.node.replaceChildren(h("p", {}, "Counting …"));
    this.#ask();
  }

  close() {
    clearTimeout(this.timer);
    this.turn += 1;
    this.#hide();
  }

  #hide() {
    this.node.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
  }

  #say(figure) {
    this.figure.textContent = figure;
    this.button.setAttribute("aria-label", figure ? `${LABEL}, ${figure}` : LABEL);
  }

  async #ask() {
    clearTimeout(this.timer);
    const { turn } = this;
    const reply = await this.channel.request("preview", this.current());
    if (turn === this.turn) this.#show(reply);
  }

  #show(reply) {
    if (!reply.ok) {
      this.#say("");
      this.node.replaceChildren(h("p", {}, h("strong", {}, reply.reason), " ", reply.remedy));
      return;
    }
    const { items, tokens, cost, limit } = reply;
    const price = cost == null ? "" : ` · ${money(cost)}`;
    const over = limit != null && tokens > limit;
    this.#say(`≈ ${count(tokens)} tokens${price}`);
    this.button.classList.toggle("lab-chat-over", over);
    const room = limit == null ? `About ${count(tokens)} tokens` : `About ${count(tokens)} of the ${count(limit)} tokens that the model takes`;
    const total = cost == null ? `${room}.` : `${room}; this costs about ${money(cost)}.`;
    const parts = items.map(({ name, kind, text, tokens: part }) => {
      const head = h("summary", {}, h("strong", {}, name), " ", kind === name ? null : h("span", {}, kind), h("small", {}, `${count(part)} tokens`));
      return h("details", { open: !LONG.has(kind) }, head, h("pre", { tabindex: "0", role: "region", "aria-label": name }, text));
    });
    const warning = over ? h("p", { class: "lab-chat-over" }, "This is more than the model takes: attach less or begin a new conversation.") : null;
    this.node.replaceChildren(...[h("p", {}, total), warning, ...parts].filter(Boolean));
  }
}
