// Markdown with formulas: marked's lexer and two additions, $…$ and its kin within a line and in blocks of their own.
import { Lexer, Marked, Parser, Tokenizer } from "marked";
import { beginsWithMarkup, pair, visible } from "./tags.js";

// A dollar sign is more often money than mathematics. So, as in pandoc: no space after the opening one and none before
// the closing one, and no letter or digit after that. Lengths are bounded, or unclosed formulas would cost their square.
const INLINE = [
  { rule: /^\$\$((?:\\[^]|[^\\$]){1,4000}?)\$\$/, display: true },
  { rule: /^\$(?![\s$])((?:\\.|[^\\$\n`]){1,1000}?)(?<!\s)\$(?![\w$])/, display: false },
  { rule: /^\\\(((?:\\[^)]|[^\\`]){1,2000}?)\\\)/, display: false },
  { rule: /^\\\[((?:\\[^\]]|[^\\`]){1,4000}?)\\\]/, display: true },
];
const BLOCK = /^ {0,3}(\$\$|\\\[)/;
const CLOSE = { $$: "$$", "\\[": "\\]" };
const INTERRUPTS = /\n(?= {0,3}(?:\$\$|\\\[))/;
const BLANK_LINE = /\n[ \t]*\n/;
const MASKED = /\$(?![\s$])(?:\\.|[^\\$\n`]){1,1000}?(?<!\s)\$(?![\w$])|\$\$(?:\\[^]|[^\\$]){1,4000}?\$\$|\\\((?:\\[^)]|[^\\`]){1,2000}?\\\)|\\\[(?:\\[^\]]|[^\\`]){1,4000}?\\\]/g;

const inlineMath = {
  name: "inlineMath",
  level: "inline",
  start: (source) => source.match(/\$|\\[([]/)?.index,
  tokenizer(source) {
    for (const { rule, display } of INLINE) {
      const match = rule.exec(source);
      if (match) return { type: "inlineMath", raw: match[0], text: match[1].trim(), display };
    }
    return undefined;
  },
  renderer: ({ raw, text, display }) => slot({ kind: "math", raw, text, display }),
};

const blockMath = {
  name: "blockMath",
  level: "block",
  start(source) {
    const end = source.indexOf("\n\n");
    const match = INTERRUPTS.exec(end < 0 ? source : source.slice(0, end));
    return match ? match.index + 1 : undefined;
  },
  tokenizer(source) {
    const open = BLOCK.exec(source);
    if (!open) return undefined;
    const blank = source.search(BLANK_LINE);
    const close = source.indexOf(CLOSE[open[1]], open[0].length);
    if (close >= 0 && (blank < 0 || close < blank)) {
      const rest = /^[ \t]*(?:\n|$)/.exec(source.slice(close + 2));
      if (!rest) return undefined; // words follow on the line: a formula within a paragraph
      const raw = source.slice(0, close + 2 + rest[0].length);
      return { type: "blockMath", raw, text: source.slice(open[0].length, close).trim(), display: true };
    }
    if (blank >= 0) return undefined;
    // It may still be closed by what follows; until then it is a paragraph that nothing interrupts.
    return { type: "paragraph", raw: source, text: source, tokens: this.lexer.inline(source.trim(), []), open: true };
  },
  renderer: ({ raw, text, display }) => `<p>${slot({ kind: "math", raw: raw.trim(), text, display })}</p>`,
};

// What the sanitiser must not see as HTML (code, formulas, boxes) leaves the text for a slot and comes back as nodes.
// The secret makes sure that an answer cannot write a slot of its own.
const SECRET = Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("");
let slots = [];

function slot(content, tag = "span") {
  slots.push(content);
  return `<${tag} data-slot="${SECRET}-${slots.length - 1}"></${tag}>`;
}

const CJK = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u303f\uff00-\uffef]/u;
const EMPHASIS = /^(\*\*|\*)(?![\s*])([^*\n`]*[^\s*`])\1(?!\*)/;
const TABLE = /^[^\n]*\|[^\n]*\n[ \t|:-]+(?:\n|$)/;
const usual = Tokenizer.prototype;

const marked = new Marked({
  gfm: true,
  breaks: true, // models write verses, addresses and lists of keys line by line, and do not wrap their text
  extensions: [inlineMath, blockMath],
  hooks: { emStrongMask: (source) => source.replace(MASKED, (formula) => "a".repeat(formula.length)) },
  tokenizer: {
    // A line of dashes makes a heading of all lines before it, but not of a formula among them.
    lheading(source) {
      const heading = this.rules.block.lheading.exec(source);
      return heading && INTERRUPTS.test(heading[0]) ? undefined : false; // false: as usual
    },
    html: (source) => (beginsWithMarkup(source) ? false : undefined),
    tag(source) {
      const token = usual.tag.call(this, source);
      this.lexer.state.inRawBlock = false; // text after <code> is text too
      return token;
    },
    del: (source) => (source.startsWith("~~") ? false : undefined), // a single one is "about", or between two numbers
    // The rules for emphasis look for blanks, which Chinese and Japanese do not write around brackets and full stops.
    emStrong(source, masked, previous) {
      const token = usual.emStrong.call(this, source, masked, previous);
      const [raw, mark, text] = (!token && EMPHASIS.exec(source)) || [];
      if (!raw || !CJK.test(`${previous}${text[0]}${text.at(-1)}${source[raw.length] ?? ""}`)) return token;
      return { type: mark === "*" ? "em" : "strong", raw, text, tokens: this.lexer.inlineTokens(text) };
    },
    // A bar in a formula ends no cell.
    table(source) {
      if (!TABLE.test(source)) return undefined;
      const lines = source.split(BLANK_LINE, 1)[0];
      const told = lines.replace(MASKED, (formula) => formula.replace(/(?<!\\)\|/g, "\\|"));
      if (told === lines) return false;
      const token = usual.table.call(this, told);
      if (!token) return undefined;
      const count = token.raw.split("\n").length;
      const raw = lines.split("\n").slice(0, count).join("\n");
      return { ...token, raw: token.raw.endsWith("\n") ? `${lines.split("\n").slice(0, count - 1).join("\n")}\n` : raw };
    },
  },
  renderer: {
    code: ({ text, lang }) => slot({ kind: "code", text, language: (lang ?? "").trim().split(/[\s{,]/)[0] }, "pre"),
    html: visible,
    checkbox: ({ checked }) => slot({ kind: "checkbox", checked }),
  },
});

/** Return the top-level blocks of a text; `links` are the reference definitions known so far and gets those found. */
export function lex(text, links) {
  const lexer = new Lexer(marked.defaults);
  lexer.tokens.links = links;
  return lexer.lex(text);
}

/** Return a block as HTML that must be sanitised, and a function that finds the content of a slot by its attribute. */
export function toHtml(token) {
  slots = [];
  pair([token], (tokens, look) => marked.walkTokens(tokens, look));
  const html = Parser.parse([token], marked.defaults);
  const found = slots;
  slots = [];
  const content = (name) => (name?.startsWith(`${SECRET}-`) ? found[Number(name.slice(SECRET.length + 1))] : undefined);
  return { html, content };
}
