import { makeModelSelect, makeSettings, makeStatus } from "./controls.js";
import { h, icon, iconButton } from "./dom.js";
import { makeEntry } from "./entry.js";

// The panel: layout, the prompt being written, and the protocol with `widgets.chat_panel`.

const NEAR_BOTTOM = 48; // pixels: whoever is this near the end of the conversation follows it
const PATIENCE = 3000; // milliseconds after which a silent kernel is worth a word
const ENDINGS = { done: "The answer is complete.", stopped: "The answer is stopped." };
const RETRY = 1000; // milliseconds between two requests for a replay

function render({ model, el, signal }) {
  const log = makeLog();
  const composer = makeComposer(model, signal);
  const { node: status, banner } = makeStatus(model);
  const { box: settings, button: settingsButton } = makeSettings(model);
  const clear = iconButton("clear", "Clear the conversation", () => model.send({ type: "clear" }));
  const refresh = iconButton("refresh", "Refresh models and connection", () => model.send({ type: "refresh" }));
  const header = h("div", { class: "lab-chat-header" }, status, makeModelSelect(model), refresh, settingsButton, clear);
  // JupyterLab acts on keys before the panel sees them (Shift+Enter would run the cell), unless told not to.
  const root = h("section", { class: "lab-chat", "aria-label": "Chat", "data-lm-suppress-shortcuts": "true", "data-jp-suppress-context-menu": "" });
  root.append(header, banner, settings, log.node, composer.node);
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && composer.busy) model.send({ type: "stop" });
  });
  el.replaceChildren(root);

  let seq = null; // number of the last event shown; null until the first replay
  const apply = {
    begin({ question, answer }) {
      log.push(question);
      log.push(answer);
      composer.sent(question.text);
      composer.setBusy(true);
      log.announce(`${answer.model} is answering.`);
    },
    delta: ({ id, text }) => log.add(id, text),
    end({ answer }) {
      log.end(answer);
      composer.setBusy(false);
      if (answer.reason) composer.restore(log.promptOf(answer.id));
      log.announce(answer.reason ? `${answer.reason} ${answer.remedy}` : ENDINGS[answer.state]);
    },
    clear() {
      log.show([]);
      composer.setBusy(false);
    },
  };
  model.on("msg:custom", (event) => {
    if (event.type === "replay") {
      if (event.seq === seq) return;
      log.show(event.entries);
      const last = event.entries.at(-1);
      composer.setBusy(last?.state === "streaming");
      if (composer.busy) composer.sent(log.promptOf(last.id));
      seq = event.seq;
    } else if (seq !== null && event.seq === seq + 1) {
      apply[event.type](event);
      seq = event.seq;
    } else if (seq !== null && event.seq > seq) {
      seq = null;
      synchronise();
    }
  });
  // JupyterLab sends the first messages to the main shell, where they wait behind a running cell; later ones do not.
  let retry = 0;
  const synchronise = () => {
    clearTimeout(retry);
    if (seq !== null) return;
    model.send({ type: "replay" });
    retry = setTimeout(synchronise, RETRY);
  };
  signal?.addEventListener("abort", () => clearTimeout(retry));
  synchronise();
}

/** The conversation. Screen readers hear starts and ends from a line of its own: every token would be a torrent. */
function makeLog() {
  const empty = h("div", { class: "lab-chat-empty" }, h("strong", {}, "Ask a model of this lab"));
  empty.append("The conversation lives in the kernel: it is not saved with the notebook.");
  const list = h("div", { class: "lab-chat-log", role: "log", "aria-live": "off", "aria-label": "Conversation", tabindex: "0" });
  const live = h("div", { class: "lab-chat-unseen", "aria-live": "polite" });
  const node = h("div", { class: "lab-chat-middle" }, list, live);
  const entries = new Map();
  const prompts = new Map();
  let lastPrompt = "";

  const push = (entry) => {
    empty.remove();
    const made = makeEntry(entry);
    entries.set(entry.id, made);
    if (entry.role === "user") lastPrompt = entry.text;
    else prompts.set(entry.id, lastPrompt);
    list.append(made.node);
    list.scrollTop = list.scrollHeight;
  };
  const following = (change) => {
    const follow = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_BOTTOM;
    change();
    if (follow) list.scrollTop = list.scrollHeight;
  };
  const show = (all) => {
    entries.clear();
    prompts.clear();
    list.replaceChildren(empty);
    all.forEach(push);
  };
  show([]);
  return {
    node,
    push,
    show,
    add: (id, text) => following(() => entries.get(id).add(text)),
    end: (answer) => following(() => entries.get(answer.id).end(answer)),
    promptOf: (id) => prompts.get(id),
    announce: (text) => {
      live.textContent = text;
    },
  };
}

/** The prompt being written. It leaves the field only when Python has taken it, and comes back after an error. */
function makeComposer(model, signal) {
  const field = h("textarea", { rows: 1, placeholder: "Write a prompt", "aria-label": "Prompt" });
  const button = h("button", { type: "button", class: "lab-chat-send" });
  const hint = h("div", { class: "lab-chat-hint" });
  const usual = "Enter sends · Shift+Enter starts a new line · Esc stops the answer";
  let busy = false;
  let waiting = 0;

  const grow = () => {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 2}px`;
  };
  const draw = () => {
    button.replaceChildren(icon(busy ? "stop" : "send"), busy ? "Stop" : "Send");
    button.classList.toggle("lab-chat-stop", busy);
    button.disabled = !busy && !field.value.trim();
    hint.textContent = usual;
  };
  const settle = () => {
    clearTimeout(waiting);
    draw();
  };
  const newLine = () => {
    // JupyterLab cancels the browser's own line break after Shift+Enter everywhere in a cell.
    field.setRangeText("\n", field.selectionStart, field.selectionEnd, "end");
    grow();
  };
  const ask = () => {
    if (busy || !field.value.trim()) return;
    model.send({ type: "ask", text: field.value });
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      hint.textContent = "The kernel is busy or gone: the prompt waits until it is free.";
    }, PATIENCE);
  };
  field.addEventListener("input", () => {
    grow();
    draw();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    if (event.shiftKey) newLine();
    else ask();
  });
  button.addEventListener("click", () => (busy ? model.send({ type: "stop" }) : ask()));
  signal?.addEventListener("abort", () => clearTimeout(waiting));
  draw();

  const write = (text) => {
    field.value = text;
    grow();
    settle();
  };
  return {
    node: h("div", { class: "lab-chat-composer" }, h("div", { class: "lab-chat-line" }, field, button), hint),
    get busy() {
      return busy;
    },
    setBusy(value) {
      busy = value;
      settle();
    },
    sent: (text) => field.value === text && write(""),
    restore: (text) => !field.value && write(text),
  };
}

export default { render };
