// Whatever the pieces an answer comes in, the page must show the same as for the whole text at once.
import fc from "fast-check";
import { expect, test } from "vitest";
import { BlockReader } from "../src/markdown/blocks.js";
import { htmlOf, runs } from "./markdown.js";

const LINES = [
  "", "", "", "word", "two words  ", "Foo", "---", "===", "-", "- ", "- item", "- [ ] to do", "* other", "1. one", "2", "2. two", "10) ten",
  "   indented", "    code", "\tcode", "  - nested", "     more", "> quote", "> - in quote", "lazy", "# H", "## H `c`", "#", "***", "* * *",
  "```", "```python", "~~~", "````", "  ```", "x = 1  # `a`", "`a` $b$", "| a | b |", "|---|:-:|", "| c", "a | b", "-|-",
  "<div>", "</div>", "<details>", "<!-- c", "-->", "<b>x", "<script>", "</script>", "<pre>", "</pre>", "<br>", "<user>", "a<b and c>d", "</kbd> <kbd>k</kbd>", "| $|a|$ | b |", "3~5", "\u6ce8**\u610f\uff09**\u3067",
  "[a]: http://x.org/y", "[a]: <u", "[b]:", "  http://z.org 'title", "more'", "see [a] and [b][a]", "![i](http://x.org/i.png)", "[t](http://x.org \"t\")",
  "$$", "$$x$$", "$$ y", "\\[", "z \\]", "\\(q\\)", "$5 and $6", "$a_1 + b$", "- c", "+ d", "= e", "**bold", "end**", "*a _b* c_", "\\", "&amp; &lt;", "https://auto.org/x_y_", "é🌊",
];
const line = fc.constantFrom(...LINES);
const end = fc.constantFrom("\n", "\n", "\n", "\n\n", "\r\n", "\r", "", " ");
const text = fc.array(fc.tuple(line, end), { maxLength: 14 }).map((parts) => parts.flat().join(""));

const cuts = (whole) => fc.array(fc.integer({ min: 0, max: whole.length }), { maxLength: 12 });
const chunked = text.chain((whole) => fc.record({ whole: fc.constant(whole), at: fc.oneof(cuts(whole), fc.constant([...whole].map((_, index) => index))) }));

function cut(whole, at) {
  const marks = [0, ...[...at].sort((a, b) => a - b), whole.length];
  return marks.slice(1).map((mark, index) => whole.slice(marks[index], mark));
}

/** Return what a reader makes of a text: the tokens, and the definitions. */
function blocksOf(pieces) {
  const reader = new BlockReader();
  const tokens = pieces.flatMap((piece) => reader.add(piece));
  tokens.push(...reader.close());
  return { blocks: tokens.map(({ type, raw }) => [type, raw.trimEnd()]), links: { ...reader.links } };
}

test("any chunking gives the same blocks as the whole text", () => {
  const property = fc.property(chunked, ({ whole: text, at }) => {
    const whole = text.replace(/\r\n?/g, "\n");
    expect(blocksOf(cut(whole, at))).toEqual(blocksOf([whole]));
  });
  fc.assert(property, runs(2000));
}, 60_000);

test("any chunking gives the same nodes as the whole text", () => {
  const property = fc.property(chunked, ({ whole, at }) => {
    expect(htmlOf(cut(whole, at.slice(0, 5)))).toBe(htmlOf([whole]));
  });
  fc.assert(property, runs(100));
}, 60_000);
