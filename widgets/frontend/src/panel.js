// What both panels have in common.
import { h } from "./dom.js";
import { serveCodeButtons } from "./markdown/code.js";
import { Formulas } from "./markdown/formulas.js";
import { serveImages } from "./markdown/images.js";

const SHARED_MATH = Symbol.for("genailabs.math");

/** Make a panel's outermost node. */
export function makeRoot(label, className = "") {
  // JupyterLab acts on keys before the panel sees them (Shift+Enter would run the cell), unless told not to.
  const properties = { class: `lab-chat ${className}`.trim(), "aria-label": label, "data-lm-suppress-shortcuts": "true", "data-jp-suppress-context-menu": "" };
  return h("section", properties);
}

/** Make the line that tells what happened, seen for a moment, and the one that screen readers alone hear. */
export function makeNotes() {
  const live = h("div", { class: "lab-chat-unseen", "aria-live": "polite" });
  const seen = h("div", { class: "lab-chat-note", hidden: true });
  let timer = 0;
  return {
    node: h("div", { class: "lab-chat-notes" }, live, seen),
    /** Screen readers hear starts and ends from here: every token would be a torrent. */
    say: (text) => {
      live.textContent = text;
    },
    show: (text) => {
      live.textContent = text;
      seen.textContent = text;
      seen.hidden = false;
      clearTimeout(timer);
      timer = setTimeout(() => {
        seen.hidden = true;
      }, 5000);
    },
  };
}

/** Formulas whose module comes from Python, once for all panels of the page. */
export function makeFormulas(channel) {
  return new Formulas(() => {
    globalThis[SHARED_MATH] ??= importModule(channel, "math");
    globalThis[SHARED_MATH].catch(() => delete globalThis[SHARED_MATH]); // so that the next formula tries again
    return globalThis[SHARED_MATH];
  });
}

async function importModule(channel, name) {
  const { ok, reason, buffers } = await channel.request("module", { name });
  if (!ok || !buffers?.[0]) throw new Error(reason ?? `The module ${name} is missing.`);
  const url = URL.createObjectURL(new Blob([buffers[0]], { type: "text/javascript" }));
  try {
    return await import(url);
  } finally {
    URL.revokeObjectURL(url);
  }
}

/** Serve what answers contain, by one listener each: thousands of blocks cost nothing. */
export function serveContent(root, notes) {
  serveCodeButtons(root, (text, quiet) => (quiet ? notes.say(text) : notes.show(text)));
  serveImages(root);
}
