import { h, icon } from "./dom.js";

// Shows the text of an answer while it grows: paragraphs as plain text, fenced blocks as code.
//
// Only the last node ever changes, so a long answer costs no more per piece than a short one. The result depends on the
// text alone, not on how it was cut into pieces: what could still become a fence is held back until that is decided.

const FENCE = /^\s*(`{3,}|~{3,})([^\n]*)$/;
const MAYBE_FENCE = /^\s*(`{0,2}|~{0,2}|(`{3,}|~{3,})[^\n]*)$/;

export class AnswerText {
  constructor() {
    this.node = h("div", { class: "lab-chat-text" });
    this.held = ""; // start of a line that may become a fence
    this.midline = false; // the line's start is shown, so no fence can come before the next line
    this.fence = ""; // the fence that opened the current code block
    this.target = null; // text node that grows
  }

  add(text) {
    let rest = this.held + text;
    this.held = "";
    while (rest) {
      const end = rest.indexOf("\n");
      const line = end < 0 ? rest : rest.slice(0, end);
      if (end < 0 && !this.midline && MAYBE_FENCE.test(line)) {
        this.held = rest;
        return;
      }
      rest = end < 0 ? "" : rest.slice(end + 1);
      if (!this.midline && this.#isFence(line)) continue;
      this.#show(end < 0 ? line : `${line}\n`);
      this.midline = end < 0;
    }
  }

  /** Show what was held back; nothing follows. */
  end() {
    const rest = this.held;
    this.held = "";
    if (rest && !this.#isFence(rest)) this.#show(rest);
    if (!this.fence) this.#trim();
  }

  #isFence(line) {
    const match = FENCE.exec(line);
    if (!match) return false;
    const [, mark, info] = match;
    if (!this.fence) {
      if (mark[0] === "`" && info.includes("`")) return false; // code within a line
      this.#openCode(info.trim().split(/\s/)[0]);
      this.fence = mark;
      return true;
    }
    if (mark[0] !== this.fence[0] || mark.length < this.fence.length || info.trim()) return false;
    this.fence = "";
    this.target = null;
    return true;
  }

  #openCode(language) {
    this.#trim();
    this.target = document.createTextNode("");
    const code = this.target;
    const copy = h("button", { type: "button", class: "lab-chat-copy", "aria-label": "Copy code" }, icon("copy"), "Copy");
    copy.addEventListener("click", async () => {
      await navigator.clipboard.writeText(code.data);
      copy.lastChild.data = "Copied";
    });
    const head = h("div", { class: "lab-chat-code-head" }, h("span", {}, language || "code"), copy);
    this.node.append(h("div", { class: "lab-chat-code" }, head, h("pre", { tabindex: "0" }, h("code", {}, code))));
  }

  #trim() {
    if (this.target) this.target.data = this.target.data.trimEnd();
  }

  #show(text) {
    if (!this.target) {
      if (!text.trim()) return; // blank lines around a code block: its margin does their work
      this.target = document.createTextNode("");
      this.node.append(h("div", { class: "lab-chat-prose" }, this.target));
    }
    this.target.appendData(text);
  }
}
