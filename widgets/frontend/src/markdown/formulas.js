// Formulas as MathML. The module that makes them is loaded when the first one appears.
import { h } from "../dom.js";

const CACHE_LIMIT = 500;

export class Formulas {
  /** @param {() => Promise<typeof import("../math.js")>} load */
  constructor(load) {
    this.load = load;
    this.waiting = new Set();
    this.cache = new Map();
    this.module = null;
    this.loading = null;
  }

  /** Make the node of a formula: its source until the module is there. */
  node({ raw, text, display }) {
    const node = h("span", { class: display ? "lab-chat-math lab-chat-math-display" : "lab-chat-math", "data-tex": raw });
    this.#draw(node, { raw, text, display });
    return node;
  }

  #draw(node, formula) {
    const drawn = this.module && this.#markup(formula);
    if (drawn) {
      node.replaceChildren(drawn.cloneNode(true));
      return;
    }
    node.replaceChildren(h("code", {}, formula.raw));
    if (this.module) return;
    this.waiting.add({ node: new WeakRef(node), formula });
    this.#load();
  }

  #markup(formula) {
    const key = `${formula.display}${formula.text}`;
    if (!this.cache.has(key)) {
      if (this.cache.size >= CACHE_LIMIT) this.cache.clear();
      this.cache.set(key, this.module.formula(formula.text, formula.display));
    }
    return this.cache.get(key);
  }

  #load() {
    this.loading ??= this.load().then(
      (module) => {
        this.module = module;
        for (const { node, formula } of this.waiting) {
          const target = node.deref();
          if (target) this.#draw(target, formula);
        }
        this.waiting.clear();
      },
      (error) => {
        // The source of a formula is readable, too; the next one tries again.
        console.warn("The chat panel shows formulas as source:", error);
        this.loading = null;
        this.waiting.clear();
      },
    );
  }
}
