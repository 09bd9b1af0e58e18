// The visible path of the conversation, in pages of some entries each. Pages far from the reader stay plain text and out
// of the layout: 500 messages open at once, and stream as cheaply as five.
import { Answer } from "./entry_answer.js";
import { Prompt } from "./entry_prompt.js";
import { h, iconButton } from "./dom.js";
import { Follower } from "./follower.js";

const MARGIN = "900px 0px"; // what is this near to the visible part gets drawn
const BUDGET = 8; // milliseconds of drawing in one go
const PAGE = 20; // entries

export class Log {
  /** @param {object} context what entries need: `formulas`, `send`, `notify`, `whenIdle`, `focusComposer` */
  constructor(context, welcome) {
    this.context = { ...context, question: (id, what) => this.#question(id, what) };
    this.welcome = welcome;
    this.entries = [];
    this.byId = new Map();
    this.queue = new Set();
    this.list = h("div", { class: "lab-chat-log", role: "log", "aria-live": "off", "aria-label": "Conversation", tabindex: "0" });
    this.toEnd = iconButton("down", "Go to the end of the conversation", () => this.follower.toEnd(), "lab-chat-to-end");
    this.toEnd.hidden = true;
    this.node = h("div", { class: "lab-chat-middle" }, this.list, this.toEnd);
    this.follower = new Follower(this.list, (far) => {
      this.toEnd.hidden = !far;
    });
    this.observer = globalThis.IntersectionObserver && new IntersectionObserver((seen) => this.#seen(seen), { root: this.list, rootMargin: MARGIN });
    this.show([]);
  }

  /** Show other entries in place of all. */
  show(entries) {
    this.keep(0, entries);
  }

  /** Keep the first `count` entries, and show these after them. */
  keep(count, entries) {
    for (const entry of this.entries.splice(count)) this.#remove(entry);
    const fresh = entries.map((entry) => this.#make(entry));
    this.welcome.remove();
    for (const entry of fresh) this.#append(entry);
    if (!this.entries.length) this.list.append(this.welcome);
    this.#hydrateLast(fresh);
    this.follower.toEnd();
  }

  #make(entry) {
    const made = entry.role === "user" ? new Prompt(entry, this.context) : new Answer(entry, this.context);
    this.entries.push(made);
    this.byId.set(made.id, made);
    made.node.entry = made;
    return made;
  }

  #append(entry) {
    let page = this.list.lastElementChild;
    if (!page || page.childElementCount >= PAGE) {
      page = h("div", { class: "lab-chat-page" });
      this.list.append(page);
      this.observer?.observe(page);
      this.follower.watch(page);
    }
    page.append(entry.node);
    if (!this.observer || page.seen) this.#draw(entry);
  }

  #remove(entry) {
    const page = entry.node.parentElement;
    this.byId.delete(entry.id);
    this.queue.delete(entry);
    entry.node.remove();
    if (page.hasChildNodes()) return;
    this.observer?.unobserve(page);
    this.follower.unwatch(page);
    page.remove();
  }

  #draw(entry) {
    this.queue.add(entry);
    this.#drain();
  }

  // What the reader sees first is drawn first, from the end.
  #hydrateLast(fresh) {
    const deadline = performance.now() + BUDGET;
    for (const entry of fresh.slice(-6).reverse()) {
      entry.hydrate();
      if (performance.now() > deadline) break;
    }
  }

  #seen(changes) {
    for (const { isIntersecting, target } of changes) {
      if (!isIntersecting) continue;
      this.observer.unobserve(target);
      target.seen = true;
      for (const node of [...target.children].reverse()) this.#draw(node.entry);
    }
  }

  #drain() {
    if (this.draining || !this.queue.size) return;
    this.draining = true;
    const idle = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 1));
    idle(
      () => {
        this.draining = false;
        const deadline = performance.now() + BUDGET;
        for (const entry of this.queue) {
          this.queue.delete(entry);
          entry.hydrate();
          if (performance.now() > deadline) break;
        }
        this.#drain();
      },
      { timeout: 200 },
    );
  }

  add(id, text) {
    this.byId.get(id)?.add(text);
  }

  call(id, call, state) {
    this.byId.get(id)?.call(call, state);
  }

  state(id, state, place) {
    this.byId.get(id)?.setState(state, place);
  }

  end(answer) {
    this.byId.get(answer.id)?.end(answer);
  }

  /** The last prompt, for the key that edits it. */
  get lastPrompt() {
    return this.entries.findLast((entry) => entry instanceof Prompt);
  }

  #question(id, what) {
    const after = this.entries.length - 1 - this.entries.findIndex((entry) => entry.id === id);
    if (!after) return `Delete this ${what}?`;
    return `Delete this ${what} and ${after === 1 ? "the entry" : `the ${after} entries`} after it?`;
  }
}
