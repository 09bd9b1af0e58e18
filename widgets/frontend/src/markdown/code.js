import { copyText, h, icon } from "../dom.js";
import { highlighted } from "./highlight.js";

const PYTHON = new Set(["", "python", "py", "python3", "ipython"]);
const CELL_MAGIC = { bash: "%%bash", sh: "%%bash", shell: "%%bash", html: "%%html", javascript: "%%javascript", js: "%%javascript" };
// Characters that turn the direction of text make code look different from what it does.
const TURNING = /[\u202a-\u202e\u2066-\u2069]/g;

/** Make the node of a code block; colours come when it is `closed`. */
export function codeBlock(text, language, closed) {
  const shown = text.replace(TURNING, (character) => `\u27e8U+${character.charCodeAt(0).toString(16).toUpperCase()}\u27e9`);
  const code = h("code", {}, (closed && highlighted(shown, language.toLowerCase())) || shown || null);
  const runs = PYTHON.has(language.toLowerCase()) || language.toLowerCase() in CELL_MAGIC;
  const tools = h("div", { class: "lab-chat-code-tools" });
  if (runs) tools.append(codeButton("run", "Run", "Insert into a new cell and run it"));
  tools.append(codeButton("insert", "Insert", "Insert into a new cell"), codeButton("copy", "Copy", "Copy code"));
  const label = language.slice(0, 24) || "text";
  const head = h("div", { class: "lab-chat-code-head" }, h("span", { class: "lab-chat-code-language" }, label), tools);
  const block = h("div", { class: "lab-chat-code" }, head, h("pre", { tabindex: "0", role: "region", "aria-label": `Code, ${label}` }, code));
  block.dataset.language = language;
  return block;
}

function codeButton(action, words, label) {
  const properties = { type: "button", class: "lab-chat-code-button", "data-code": action, "aria-label": label, title: label };
  return h("button", properties, icon(action), h("span", {}, words));
}

/** Serve the buttons of all code blocks below `root`; `notify` tells the reader what happened. */
export function serveCodeButtons(root, notify) {
  root.addEventListener("click", async (event) => {
    const button = event.target.closest?.("button[data-code]");
    if (!button || !root.contains(button)) return;
    const block = button.closest(".lab-chat-code");
    const text = block.querySelector("code").textContent;
    const action = button.dataset.code;
    if (action === "copy") say(button, (await copyText(text)) ? "Copied" : "Not copied", notify);
    else insert(root, button, block, text, action === "run", notify);
  });
}

async function insert(root, button, block, text, run, notify) {
  const { language, cell } = block.dataset;
  const magic = CELL_MAGIC[language.toLowerCase()];
  const code = (magic ? `${magic}\n${text}` : text).replace(/\n$/, "");
  const done = (ok, made) => {
    if (made) block.dataset.cell = made;
    say(button, ok ? (run ? "Running" : "Inserted") : "Failed", notify);
  };
  const detail = { code, language, run, cell, done };
  const event = new CustomEvent("genailabs:insert-cell", { detail, bubbles: true, cancelable: true, composed: true });
  root.dispatchEvent(event);
  if (event.defaultPrevented) return;
  await copyText(code);
  say(button, "Copied", notify);
  notify("This page cannot add cells. The code is copied: paste it into a new cell.");
}

function say(button, words, notify) {
  const label = button.querySelector("span");
  const usual = (button.dataset.usual ??= label.textContent);
  label.textContent = words;
  button.dataset.said = "";
  notify(words, true);
  setTimeout(() => {
    label.textContent = usual;
    delete button.dataset.said;
  }, 2000);
}
