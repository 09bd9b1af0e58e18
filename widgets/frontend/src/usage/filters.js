// What the reader chose, and the controls for it.
import { h } from "../dom.js";
import { clock, HOUR } from "./format.js";

const NAMES = [
  ["model", "Model", "All models"],
  ["user", "User", "All users"],
  ["team", "Team", "All teams"],
  ["key_alias", "Key", "All keys"],
];
const SPANS = [["24h", "24 hours"], ["7d", "7 days"], ["30d", "30 days"], ["90d", "90 days"], ["all", "All"], ["custom", "Dates"]];
const STATUS = [["", "All"], ["success", "Answered"], ["failure", "Failed"]];
const MEASURES = [["requests", "Requests"], ["total_tokens", "Tokens"], ["spend", "Spend"], ["failures", "Failures"]];
const BY = [["model", "by model"], ["user", "by user"], ["team", "by team"], ["key_alias", "by key"]];

export class Filters {
  /** @param {() => void} onchange called when the reader chose something else */
  constructor(onchange) {
    this.onchange = onchange;
    this.choice = null; // until the first view has come
    const select = (name, choices) =>
      h("select", { onchange: (event) => this.set({ [name]: event.target.value }) }, ...choices.map(([value, text]) => h("option", { value }, text)));
    this.selects = Object.fromEntries(NAMES.map(([name, , all]) => [name, select(name, [["", all]])]));
    this.selects.status = select("status", STATUS);
    this.selects.measure = select("measure", MEASURES);
    this.selects.by = select("by", BY);
    this.selects.measure.setAttribute("aria-label", "What is counted");
    this.selects.by.setAttribute("aria-label", "What is told apart");
    const spans = SPANS.map(([value, text]) => h("button", { type: "button", "data-value": value, onclick: () => this.#span(value) }, text));
    this.spans = h("div", { class: "lab-usage-spans", role: "group", "aria-label": "Time range" }, ...spans);
    const date = (name) => h("input", { type: "datetime-local", onchange: (event) => this.set({ [name]: event.target.value, span: "custom" }) });
    this.dates = { since: date("since"), until: date("until") };
    this.zone = h("input", { type: "text", size: 16, spellcheck: "false", onchange: (event) => this.set({ zone: event.target.value.trim() }) });
    this.reset = h("button", { type: "button", class: "lab-usage-quiet", hidden: true, onclick: () => this.#clear() }, "Clear filters");
    this.between = h("div", { class: "lab-usage-row", hidden: true }, field("From", this.dates.since), field("To", this.dates.until));
    this.counted = h("span", { class: "lab-usage-counted" }, this.selects.measure, this.selects.by);
    this.row = h("div", { class: "lab-usage-row" }, ...NAMES.map(([name, label]) => field(label, this.selects[name])), field("Status", this.selects.status), field("Time zone", this.zone), this.reset);
  }

  set(change) {
    this.choice = { ...this.choice, ...change };
    this.#show();
    this.onchange();
  }

  /** Show what the kernel answered to, and the names that occur in its time span. */
  take(choice, options) {
    this.choice = { ...choice };
    for (const [name, , all] of NAMES) {
      const chosen = choice[name];
      const names = chosen && !options[name].includes(chosen) ? [chosen, ...options[name]] : options[name];
      this.selects[name].replaceChildren(h("option", { value: "" }, all), ...names.map((value) => h("option", { value }, value)));
    }
    this.#show();
  }

  #span(value) {
    // Dates begin where the range in use is, so that nothing jumps.
    if (value === "custom" && !this.choice.since) {
      const day = (offset) => clock(Date.now() - offset * 24 * HOUR).slice(0, 10);
      this.set({ span: "custom", since: `${day(7)}T00:00`, until: `${day(-1)}T00:00` });
    } else this.set({ span: value });
  }

  #clear() {
    this.set({ model: "", user: "", team: "", key_alias: "", status: "" });
  }

  #show() {
    for (const [name, select] of Object.entries(this.selects)) select.value = this.choice[name];
    for (const button of this.spans.children) button.setAttribute("aria-pressed", String(button.dataset.value === this.choice.span));
    for (const [name, input] of Object.entries(this.dates)) input.value = this.choice[name].slice(0, 16);
    this.between.hidden = this.choice.span !== "custom";
    this.zone.value = this.choice.zone;
    this.reset.hidden = !["status", ...NAMES.map(([name]) => name)].some((name) => this.choice[name]);
  }
}

function field(label, control) {
  control.setAttribute("aria-label", label); // the label's own text would go on with all options
  return h("label", { class: "lab-usage-field" }, h("span", {}, label), control);
}
