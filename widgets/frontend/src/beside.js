// The notebook beside a chat that has no cell of its own: its variables, the selected cell and the last error go along with
// prompts. The notebook's kernel is asked for them as they are wanted.
import { surroundings } from "./life.js";

const PATIENCE = 4000; // milliseconds
const MODULE = '__import__("importlib").import_module("widgets.context.remote")';
const FENCE = "~~~~";

export class Beside {
  /**
   * @param {import("./protocol.js").Channel} channel
   * @param {Element} root the panel
   * @param {() => number | null | undefined} context returns the model's context in tokens
   */
  constructor(channel, root, context) {
    this.channel = channel;
    this.root = root;
    this.context = context;
  }

  /** Send a request; where a notebook is beside the chat, that one answers for its variables. The promise never fails. */
  async request(type, fields) {
    const { notebook } = surroundings(this.root);
    if (!notebook) return this.channel.request(type, fields);
    try {
      if (type === "complete") return { ok: true, items: await this.#offered(notebook, fields.prefix) };
      return await this.channel.request(type, await this.resolved(fields));
    } catch (error) {
      return { ok: false, reason: `${notebook.name} does not tell: ${error.message}`, remedy: "Is its kernel busy, or the variable gone?" };
    }
  }

  /** Return the fields of a prompt with texts in place of the names of what goes along. */
  async resolved(fields) {
    const { notebook } = surroundings(this.root);
    if (!notebook || !fields.attachments?.length) return fields;
    const own = new Map(this.#own(notebook).map((item) => [item.name, item]));
    const names = fields.attachments.filter((name) => !own.has(name));
    const asked = `${MODULE}.described(${JSON.stringify(names)}, ${this.context() ?? "None"})`;
    const described = names.length ? await this.#evaluate(notebook, asked) : [];
    const found = new Map(described.map((item) => [item.name, item]));
    return { ...fields, attachments: [], attached: fields.attachments.map((name) => own.get(name) ?? found.get(name)) };
  }

  async #offered(notebook, prefix) {
    const own = this.#own(notebook).filter(({ name }) => name.startsWith(prefix));
    return [...own, ...(await this.#evaluate(notebook, `${MODULE}.offered(${JSON.stringify(prefix)})`))];
  }

  /** The cell and the error, as what may be attached. */
  #own({ name, cell, error }) {
    const text = (what, said) => `The ${what} of the notebook ${name}:\n${FENCE}\n${said}\n${FENCE}`;
    return [
      cell?.trim() && { name: "cell", kind: "selected cell", summary: cell.trim().split("\n")[0], text: text("selected cell", cell) },
      error && { name: "error", kind: "last error", summary: error.summary, text: text("last error", error.text) },
    ].filter(Boolean);
  }

  async #evaluate(notebook, expression) {
    const late = new Promise((_, reject) => setTimeout(() => reject(new Error("its kernel does not answer.")), PATIENCE));
    return JSON.parse(await Promise.race([notebook.evaluate(expression), late]));
  }
}
