// The body of an answer: its text with its tool calls where they were made.
import { toolCall } from "./calls.js";
import { h } from "./dom.js";
import { MarkdownView } from "./markdown/view.js";

export class AnswerBody {
  /**
   * @param {object} context what entries need
   * @param {(call: string, allow: boolean, always: boolean) => void} approve called when the user decides
   */
  constructor(context, approve) {
    this.context = context;
    this.approve = approve;
    this.node = h("div", { class: "lab-chat-body" });
    this.text = "";
    this.calls = new Map(); // id: {call, node}
    this.ended = false;
    this.#clear();
  }

  add(text) {
    this.text += text;
    this.current.write(text);
  }

  /** Show a call, where the text is that long; `at` counts Unicode's characters. */
  call(call) {
    const known = this.calls.get(call.id);
    const node = toolCall(call, (allow, always) => this.approve(call.id, allow, always));
    this.calls.set(call.id, { call, node });
    if (known) {
      known.node.replaceWith(node);
      return;
    }
    if (call.at != null && call.at !== [...this.text].length) {
      this.#rebuild();
      return;
    }
    this.#place(node);
  }

  /** Nothing follows. */
  end() {
    this.ended = true;
    this.current.end();
  }

  #clear() {
    this.node.replaceChildren();
    this.sections = []; // the texts before, between and after the calls
    this.#section();
  }

  #section() {
    this.current = new MarkdownView({ formulas: this.context.formulas });
    this.sections.push(this.current);
    this.node.append(this.current.node);
  }

  #place(node) {
    this.current.end();
    if (!this.current.node.hasChildNodes()) this.current.node.remove();
    this.node.append(node);
    this.#section();
    if (this.ended) this.current.end();
  }

  // A view that comes later, or one that missed something, gets text and calls apart.
  #rebuild() {
    const { text, ended } = this;
    const letters = [...text];
    const calls = [...this.calls.values()].sort((one, other) => (one.call.at ?? 0) - (other.call.at ?? 0));
    this.text = "";
    this.ended = false;
    this.#clear();
    let from = 0;
    for (const { call, node } of calls) {
      const piece = letters.slice(from, call.at ?? 0).join("");
      from = Math.max(from, call.at ?? 0);
      if (piece) this.add(piece);
      this.#place(node);
    }
    this.add(letters.slice(from).join(""));
    if (ended) this.end();
  }

  /** Show a text with its calls from the beginning. */
  static of(entry, context, approve) {
    const body = new AnswerBody(context, approve);
    for (const call of entry.calls ?? []) body.calls.set(call.id, { call, node: toolCall(call, (allow, always) => approve(call.id, allow, always)) });
    body.text = entry.text ?? "";
    body.#rebuild();
    return body;
  }
}
