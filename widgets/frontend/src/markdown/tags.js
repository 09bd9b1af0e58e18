// Tag-like text in an answer. What is no markup that the panel shows is text: placeholders (<user>), generics, JSX, comments.
// It is escaped here, so that it is read instead of vanishing; what is left goes through the sanitiser all the same.
import { TAGS } from "./sanitize.js";

const NAMES = new Set(TAGS);
const ALONE = new Set(["br", "hr", "img"]); // need no end
// Attributes have values: `a<b and c>d` is a comparison.
const TAG = /<(\/?)([a-z][a-z0-9]*)(?:\s+[^\s"'<>=/]+\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'=<>`]+)|\s+open)*\s*(\/?)>/gi;
const TAG_OR_SIGN = new RegExp(`${TAG.source}|<`, "gi");
const BEGINNING = /^ {0,3}<\/?([a-z][a-z0-9]*)/i;

const isShown = (name) => NAMES.has(name?.toLowerCase());
const escaped = (text) => text.replaceAll("<", "&lt;");

/** Whether a block begins with a tag that the panel shows as markup. */
export const beginsWithMarkup = (text) => isShown(BEGINNING.exec(text)?.[1]);

/** Return HTML in which everything but markup is text. */
export function visible({ text, alone }) {
  return alone ? escaped(text) : text.replace(TAG_OR_SIGN, (found, _, name) => (isShown(name) ? found : escaped(found)));
}

/** Mark the tags within lines that have no counterpart: they are meant as text. */
export function pair(tokens, walk) {
  const open = [];
  walk(tokens, (token) => {
    if (token.type !== "html" || token.block) return;
    const [, end, tag, empty] = [...token.text.matchAll(TAG)][0] ?? [];
    const name = tag?.toLowerCase();
    if (!isShown(name) || ALONE.has(name)) return;
    token.alone = true;
    if (end) {
      const at = open.findLastIndex((one) => one.name === name);
      if (at < 0) return;
      token.alone = open[at].token.alone = false;
      open.length = at;
    } else if (!empty) open.push({ name, token });
  });
}
