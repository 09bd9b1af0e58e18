// Cuts a growing text into top-level blocks by the parser's own lexer. A block is final when the lexer has found the next
// one in whole lines; a line that is not complete decides nothing, because its next character may turn it into anything.
import { lex } from "./grammar.js";

const FENCE = /^(`{3,}|~{3,})([^\n]*)\n/;

/** Whether a token is a block that is shown. */
export const isShown = (token) => token.type !== "space" && token.type !== "def";

/** Return the language that a code block's first line names. */
export const languageOf = (info) => (info ?? "").trim().split(/[\s{,]/)[0];

export class BlockReader {
  constructor() {
    this.tail = ""; // text of the blocks that may still change
    this.links = Object.create(null); // reference definitions in final blocks; the first of a name counts
    this.read = 0; // characters of the tail that lines which were looked at take
    this.fence = null; // the code block that the tail is, while nothing closes it: {mark, start, language}
  }

  /** Add text with "\n" as the only end of line; return the blocks that became final. */
  add(text) {
    this.tail += text;
    const end = this.tail.lastIndexOf("\n") + 1;
    if (end <= this.read) return [];
    const lines = this.tail.slice(this.read, end);
    this.read = end;
    if (this.fence && !this.fence.closing.test(lines)) return [];
    this.fence = null;
    const tokens = this.#lex(this.tail.slice(0, end));
    const final = tokens.slice(0, this.#countFinal(tokens));
    const size = final.reduce((sum, token) => sum + token.raw.length, 0);
    if (final.map((token) => token.raw).join("") !== this.tail.slice(0, size)) return []; // the lexer changed the text
    this.tail = this.tail.slice(size);
    this.read -= size;
    this.#findFence(tokens.slice(final.length));
    return this.#certain(final, tokens);
  }

  /** Return the blocks of the tail as they would be if nothing followed. */
  rest() {
    return this.#lex(this.tail).filter(isShown);
  }

  /** Nothing follows: return the last blocks. */
  close() {
    const tokens = this.#lex(this.tail);
    this.tail = "";
    return this.#certain(tokens, []);
  }

  /** Read the text of one final block again, with all definitions that are known now. */
  again(raw) {
    // After a blank line nothing is open any more, as where it stood.
    return { ...this.#lex(`${raw}\n\n`)[0], raw };
  }

  get linkCount() {
    return Object.keys(this.links).length;
  }

  #lex(text) {
    // A copy: what a definition in the tail says may change with its next character.
    return lex(text, Object.assign(Object.create(null), this.links));
  }

  #countFinal(tokens) {
    const blocks = tokens.flatMap((token, index) => (token.type === "space" ? [] : [index]));
    let last = blocks.pop() ?? 0;
    // An open formula may turn out to be a part of the paragraph before it, and what a tag means depends on that one.
    if (tokens[last]?.open) last = blocks.pop() ?? 0;
    while (/^ {0,3}</.test(tokens[last]?.raw) && tokens[last - 1]?.type === "paragraph") last -= 1;
    return last;
  }

  #certain(final, all) {
    for (const token of final) {
      if (token.type === "def") this.links[token.tag] ??= { href: token.href, title: token.title };
    }
    const uncertain = all.slice(final.length).some((token) => token.type === "def");
    return final.filter(isShown).map((token) => (uncertain && token.raw.includes("[") ? this.again(token.raw) : token));
  }

  /** A code block needs no parser while it is open: its text only grows. */
  #findFence(tokens) {
    const [line, mark, info] = FENCE.exec(this.tail) ?? [];
    if (!mark || (mark[0] === "`" && info.includes("`")) || tokens.length !== 1 || tokens[0].type !== "code") return;
    const closing = new RegExp(`^ {0,3}${mark}[\`~]* *$`, "m");
    if (closing.test(this.tail.slice(line.length, this.read))) return;
    this.fence = { closing, start: line.length, language: languageOf(tokens[0].lang) };
  }
}
