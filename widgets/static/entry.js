import { AnswerText } from "./answer_text.js";
import { h, icon } from "./dom.js";

const NOTES = { stopped: "Stopped", cut: "Answer cut", failed: "No answer" };

/** Make the node of a prompt or an answer. */
export function makeEntry(entry) {
  return entry.role === "user" ? new Prompt(entry) : new Answer(entry);
}

class Prompt {
  constructor({ text }) {
    this.node = h("div", { class: "lab-chat-entry lab-chat-prompt", role: "group", "aria-label": "You" });
    this.node.append(h("div", { class: "lab-chat-bubble" }, text));
  }
}

class Answer {
  constructor(entry) {
    this.text = new AnswerText();
    this.foot = h("div", { class: "lab-chat-foot" });
    this.dots = h("div", { class: "lab-chat-dots", "aria-hidden": "true" }, h("i"), h("i"), h("i"));
    const name = h("div", { class: "lab-chat-name" }, entry.model || "no model");
    this.node = h("div", { class: "lab-chat-entry lab-chat-answer", role: "group", "aria-label": `Answer of ${entry.model}` });
    this.node.append(name, this.text.node, this.dots, this.foot);
    this.add(entry.text);
    if (entry.state !== "streaming") this.end(entry);
  }

  add(text) {
    if (!text) return;
    this.text.add(text);
    this.dots.remove();
  }

  end({ state, reason, remedy, figures }) {
    this.text.end();
    this.dots.remove();
    this.node.dataset.state = state;
    if (reason) {
      const what = h("strong", {}, `${NOTES[state] ?? state}. ${reason}`);
      const fault = h("div", { class: "lab-chat-fault" }, icon("warn"), h("div", {}, what, h("div", {}, remedy)));
      this.foot.before(fault);
    }
    this.foot.textContent = [reason ? "" : NOTES[state], ...describe(figures)].filter(Boolean).join("  ·  ");
  }
}

function describe(figures) {
  const { first_token_s, tokens_per_s, prompt_tokens, completion_tokens, cost, finish_reason } = figures ?? {};
  const parts = [];
  if (finish_reason === "length") parts.push("ended by the limit of tokens");
  if (first_token_s != null) parts.push(`first token ${first_token_s.toFixed(2)} s`);
  if (tokens_per_s != null) parts.push(`${tokens_per_s.toFixed(tokens_per_s < 10 ? 1 : 0)} tokens/s`);
  if (prompt_tokens != null) parts.push(`${count(prompt_tokens)} in, ${count(completion_tokens)} out`);
  if (cost != null) parts.push(money(cost));
  return parts;
}

const count = (number) => number.toLocaleString("en");

// Local models cost far less than a cent: two significant figures, and never an exponent.
const money = (cost) => `$${cost.toLocaleString("en", { maximumSignificantDigits: 2, maximumFractionDigits: 20 })}`;
