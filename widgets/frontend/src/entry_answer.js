import { AnswerBody } from "./answer_body.js";
import { confirmInPlace } from "./confirm.js";
import { copyText, h, icon, iconButton, textButton } from "./dom.js";
import { describe } from "./numbers.js";
import { branchSwitcher, toolbar } from "./toolbar.js";

const NOTES = { stopped: "Stopped", cut: "Answer cut", failed: "No answer" };
const CONTINUE = "Continue exactly where you stopped.";
/** What an answer waits for, in words; empty when it is being written. */
export function delayed(state, place) {
  if (state === "queued") return place === 1 ? "Your turn is next …" : `Waiting for your turn: ${place - 1} before you …`;
  return state === "loading" ? "Loading the model …" : "";
}

const BUSY = new Set(["streaming", "queued", "loading", "waiting"]);
// After these an answer may go on with a prompt of its own.
const LIMITS = new Set(["length", "tool_rounds"]);

/** An answer. Until it comes near the reader it holds plain text only, so that long conversations open at once. */
export class Answer {
  constructor(entry, context) {
    this.context = context;
    this.id = entry.id;
    this.entry = entry;
    this.text = entry.text ?? "";
    this.body = null;
    this.plain = h("div", { class: "lab-chat-text lab-chat-plain" }, this.text);
    this.node = h("div", { class: "lab-chat-entry lab-chat-answer", role: "group", "aria-label": `Answer of ${entry.model || "no model"}`, "data-state": entry.state });
    this.foot = h("div", { class: "lab-chat-foot" });
    this.node.append(h("div", { class: "lab-chat-name" }, entry.model || "no model"), this.plain, this.foot);
    if (BUSY.has(entry.state)) this.hydrate();
    else this.#fault();
  }

  get busy() {
    return BUSY.has(this.entry.state);
  }

  /** Draw the Markdown and the controls; nothing happens the second time. */
  hydrate() {
    if (this.body) return;
    this.body = AnswerBody.of({ ...this.entry, text: this.text }, this.context, (call, allow, always) => this.context.send("approve", { id: this.id, call, allow, always }));
    this.plain.replaceWith(this.body.node);
    this.plain = null;
    if (this.busy) this.#waitingDots();
    else this.#finish();
  }

  add(text) {
    this.text += text;
    this.hydrate();
    this.dots?.remove();
    this.body.add(text);
  }

  /** A tool call is new or changed, and with it the answer's state. */
  call(call, state) {
    this.hydrate();
    this.body.call(call);
    if (state) this.entry.state = this.node.dataset.state = state;
    if (call.state === "asking") this.dots?.remove();
    else if (this.busy) this.#waitingDots();
  }

  /** What is waited for before the answer's first word; `place` is that in the queue. */
  setState(state, place) {
    this.entry.state = this.node.dataset.state = state;
    this.entry.figures = place ? { place } : {};
    this.hydrate();
    if (this.dots) this.#say();
  }

  end(entry) {
    this.hydrate();
    this.entry = { ...this.entry, ...entry };
    for (const call of entry.calls ?? []) this.body.call(call);
    this.node.dataset.state = entry.state;
    if (this.busy) return;
    this.#finish();
    this.#fault();
  }

  #waitingDots() {
    this.delay ??= h("span");
    this.dots ??= h("div", { class: "lab-chat-dots" }, h("span", { role: "img", "aria-label": "The model is at work" }, h("i"), h("i"), h("i")), this.delay);
    this.#say();
    this.body.node.after(this.dots);
  }

  #say() {
    this.delay.textContent = delayed(this.entry.state, this.entry.figures?.place);
    this.delay.hidden = !this.delay.textContent;
  }

  #finish() {
    this.dots?.remove();
    this.body.end();
    this.foot.replaceChildren(...[this.#figures(), this.#further(), this.#tools()].filter(Boolean));
  }

  #figures() {
    const parts = describe(this.entry.figures).map(({ label, value, title }) => h("span", { title }, label ? `${label} ` : null, value));
    if (NOTES[this.entry.state] && !this.entry.reason) parts.unshift(h("strong", {}, NOTES[this.entry.state]));
    return parts.length ? h("span", { class: "lab-chat-figures" }, ...parts) : null;
  }

  /** An answer that reached its limit goes on with a prompt of its own. */
  #further() {
    if (this.context.readonly || !LIMITS.has(this.entry.figures?.finish_reason)) return null;
    const ask = () => this.context.send("ask", { text: CONTINUE, attachments: [] });
    return textButton("Continue", () => this.context.whenIdle(ask), "lab-chat-guarded");
  }

  #tools() {
    const { context } = this;
    const copy = iconButton("copy", "Copy the answer", async () => context.notify((await copyText(this.text)) ? "The answer is copied." : "The page may not copy."), "lab-chat-quiet");
    if (context.readonly) return toolbar("This answer", copy);
    const guarded = (name, label, act) => iconButton(name, label, () => context.whenIdle(act), "lab-chat-quiet lab-chat-guarded");
    const again = guarded("again", "Answer again", () => context.send("regenerate", { id: this.id }));
    const remove = guarded("remove", "Delete the answer", () =>
      confirmInPlace(context.question(this.id, "answer"), "Delete", () => context.send("delete", { id: this.id }), { before: (node) => this.node.append(node) }),
    );
    const branch = branchSwitcher(this.entry.branch, (step) => context.whenIdle(() => context.send("branch", { id: this.id, step })), (name, label, act) =>
      iconButton(name, label, act, "lab-chat-quiet lab-chat-guarded"),
    );
    return toolbar("This answer", branch, copy, again, remove);
  }

  /** Say what went wrong and what helps. */
  #fault() {
    this.faultNode?.remove();
    const { reason, remedy, retry, state } = this.entry;
    if (!reason && state !== "cut") return;
    const what = h("strong", {}, `${NOTES[state] ?? state}. ${reason ?? ""}`.trim());
    const again = retry === false || this.context.readonly ? null : textButton("Try again", () => this.context.whenIdle(() => this.context.send("retry", { id: this.id })), "lab-chat-guarded");
    this.faultNode = h("div", { class: "lab-chat-fault" }, icon("warn"), h("div", {}, what, remedy ? h("div", {}, remedy) : null), again);
    this.foot.before(this.faultNode);
  }
}
