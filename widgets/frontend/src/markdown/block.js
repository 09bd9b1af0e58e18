import { h } from "../dom.js";
import { languageOf } from "./blocks.js";
import { codeBlock } from "./code.js";
import { toHtml } from "./grammar.js";
import { imagePlaceholder } from "./images.js";
import { sanitize } from "./sanitize.js";

/** Make the nodes of one top-level block. `closed` says that nothing can change it any more. */
export function renderBlock(token, { formulas, closed }) {
  if (token.type === "code") {
    // No HTML is needed for what most long blocks are.
    const fragment = document.createDocumentFragment();
    fragment.append(codeBlock(token.text, languageOf(token.lang), closed));
    return fragment;
  }
  const { html, content } = toHtml(token);
  const fragment = sanitize(html);
  for (const image of fragment.querySelectorAll("img")) image.replaceWith(imagePlaceholder(image));
  for (const node of fragment.querySelectorAll("[data-slot], [data-src]")) {
    const found = content(node.getAttribute("data-slot"));
    node.removeAttribute("data-slot");
    node.removeAttribute("data-src");
    if (found) node.replaceWith(fill(found, formulas, closed));
  }
  for (const box of fragment.querySelectorAll(".lab-chat-checkbox")) box.closest("li")?.classList.add("lab-chat-task");
  for (const table of fragment.querySelectorAll("table")) {
    const frame = h("div", { class: "lab-chat-table", tabindex: "0", role: "region", "aria-label": "Table" });
    table.replaceWith(frame);
    frame.append(table);
  }
  return fragment;
}

function fill(content, formulas, closed) {
  if (content.kind === "code") return codeBlock(content.text, content.language, closed);
  if (content.kind === "math") return formulas.node(content);
  const label = content.checked ? "done" : "to do";
  return h("span", { class: "lab-chat-checkbox", role: "img", "aria-label": label, "data-checked": content.checked }, content.checked ? "✓" : "");
}
