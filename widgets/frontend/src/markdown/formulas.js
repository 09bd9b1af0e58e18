// Formulas as MathML. The code for them is asked for when the first one appears, and shared by all panels of the page.
import { h } from "../dom.js";

const SHARED = Symbol.for("genailabs.math");
const CACHE_LIMIT = 500;

export class Formulas {
  /** @param {() => Promise<ArrayBuffer | DataView>} fetchCode asks Python for the module's text */
  constructor(fetchCode) {
    this.fetchCode = fetchCode;
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
    this.loading ??= this.#import().then(
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

  #import() {
    globalThis[SHARED] ??= this.fetchCode().then((code) => {
      const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
      return import(url).finally(() => URL.revokeObjectURL(url));
    });
    return globalThis[SHARED].catch((error) => {
      delete globalThis[SHARED];
      throw error;
    });
  }
}
