// Markdown that grows. What is final is drawn once and frozen; only the last block or two are drawn again. The result
// depends on the text alone, not on how it was cut into pieces.
import { renderBlock } from "./block.js";
import { BlockReader } from "./blocks.js";
import { codeBlock } from "./code.js";
import { patch } from "./patch.js";

const PIECE = 4096; // characters that are taken up at once, so that a long text is worked off in short tasks
const BUDGET = 8; // milliseconds of work before the page gets a breath
const SECTION = 16; // blocks that are laid out, or left out of sight, as one: a long answer costs no more than a short one
const SHARE = 4; // times the cost of drawing the tail that pass before it is drawn again

export class MarkdownView {
  /**
   * @param {object} options
   * @param {import("./formulas.js").Formulas} options.formulas
   */
  constructor({ formulas }) {
    this.node = document.createElement("div");
    this.node.className = "lab-chat-text";
    this.formulas = formulas;
    this.reader = new BlockReader();
    this.held = ""; // a carriage return at the end of what came
    this.waiting = ""; // text that is not yet taken up
    this.linking = []; // final blocks that may refer to later definitions: {node, raw, links}
    this.open = []; // the blocks of the tail: {node, raw}
    this.code = null; // the open code block of the tail: {fence, node, shown}
    this.ended = false;
    this.closed = false;
    this.timer = 0;
    this.drawAgain = 0; // when the tail may be drawn next
  }

  /** Add text. Most of it is shown before this returns; of a long one, the rest in tasks of its own. */
  write(text) {
    const whole = this.held + text;
    this.held = whole.endsWith("\r") ? "\r" : ""; // the second half of the line's end may follow
    this.waiting += whole.slice(0, whole.length - this.held.length).replace(/\r\n?/g, "\n");
    if (!this.timer) this.#work();
  }

  /** Nothing follows. The last words are shown before this returns, unless so many wait that they take tasks of their own. */
  end() {
    if (this.held) this.waiting += "\n";
    this.held = "";
    this.ended = true;
    if (this.waiting.length <= PIECE) this.#work(); // else a timer is set already
  }

  /** Work off everything that waits now. */
  finish() {
    this.#work(Infinity);
  }

  #work(budget = BUDGET) {
    clearTimeout(this.timer);
    this.timer = 0;
    const deadline = performance.now() + budget;
    do {
      this.#take();
    } while (this.waiting && performance.now() < deadline);
    if (this.waiting || !this.#show(budget === Infinity)) {
      this.timer = setTimeout(() => this.#work(), this.waiting ? 0 : Math.max(0, this.drawAgain - performance.now()));
    }
  }

  #take() {
    const piece = this.waiting.slice(0, PIECE);
    this.waiting = this.waiting.slice(PIECE);
    for (const token of this.reader.add(piece)) this.#freeze(token);
  }

  #freeze(token) {
    const block = this.open.shift() ?? this.#newBlock();
    if (block === this.code?.block) this.code = null;
    patch(block.node, renderBlock(token, { formulas: this.formulas, closed: true }));
    if (token.raw.includes("[")) this.linking.push({ node: block.node, raw: token.raw, links: this.reader.linkCount });
  }

  #newBlock() {
    let section = this.node.lastElementChild;
    if (!section || section.childElementCount >= SECTION) {
      section = document.createElement("div");
      section.className = "lab-chat-section";
      this.node.append(section);
    }
    const node = document.createElement("div");
    section.append(node);
    return { node, raw: null };
  }

  /** Show the tail as it is now; return false if that has to wait. */
  #show(force) {
    if (this.ended) return this.#close();
    if (this.reader.fence) return this.#growCode();
    const start = performance.now();
    if (!force && start < this.drawAgain) return false;
    this.code = null;
    const tokens = this.reader.rest();
    tokens.forEach((token, index) => {
      const block = (this.open[index] ??= this.#newBlock());
      if (block.raw === token.raw) return;
      patch(block.node, renderBlock(token, { formulas: this.formulas, closed: false }));
      block.raw = token.raw;
    });
    this.#dropOpen(tokens.length);
    const end = performance.now();
    this.drawAgain = end + SHARE * (end - start);
    return true;
  }

  #dropOpen(count) {
    for (const { node } of this.open.splice(count)) {
      const section = node.parentElement;
      node.remove();
      if (!section.hasChildNodes()) section.remove();
    }
  }

  #growCode() {
    const { fence, tail } = this.reader;
    if (this.code?.fence !== fence) {
      this.#dropOpen(1);
      const block = (this.open[0] ??= this.#newBlock());
      block.raw = null;
      const code = codeBlock("", fence.language, false);
      patch(block.node, code.ownerDocument.createDocumentFragment());
      block.node.append(code);
      this.code = { fence, block, shown: fence.start, node: code.querySelector("code").appendChild(document.createTextNode("")) };
    }
    // The last line may be the start of the closing fence, which takes the end of the line before it along.
    const line = tail.lastIndexOf("\n") + 1;
    const end = /^ {0,3}[`~]*$/.test(tail.slice(line)) ? line - 1 : tail.length;
    if (end > this.code.shown) {
      this.code.node.appendData(tail.slice(this.code.shown, end));
      this.code.shown = end;
    }
    return true;
  }

  /** Freeze what is left, and draw again what refers to definitions that came later. */
  #close() {
    if (this.closed) return true;
    this.closed = true;
    for (const token of this.reader.close()) this.#freeze(token);
    this.#dropOpen(0);
    const links = this.reader.linkCount;
    for (const block of this.linking) {
      if (block.links === links) continue;
      patch(block.node, renderBlock(this.reader.again(block.raw), { formulas: this.formulas, closed: true }));
    }
    this.linking = [];
    return true;
  }
}
