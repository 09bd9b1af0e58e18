// Keys with what is left of their budgets: a line for each budget, the key's name on the first.
import { h } from "../dom.js";
import { FORMAT } from "./format.js";

const COLUMNS = [
  ["user", "User"], ["team", "Team"], ["key_alias", "Key"], ["blocked", "State"], ["left", "Left"], ["max_budget", "Budget"],
  ["budget_duration", "For"], ["reset_at", "Renews"], ["last_active", "Last use"],
];
const OF_BUDGET = new Set(["left", "max_budget", "budget_duration", "reset_at"]);

export class Keys {
  constructor() {
    this.rows = h("tbody");
    const head = h("tr", {}, ...COLUMNS.map(([name, title]) => h("th", { scope: "col", "data-name": name }, title)));
    this.node = h("section", { class: "lab-usage-card lab-usage-requests lab-usage-keys", hidden: true },
      h("header", {}, h("h3", {}, "Keys and budgets")),
      h("div", { class: "lab-usage-scroll", tabindex: "0" }, h("table", {}, h("thead", {}, head), this.rows)));
  }

  show(keys) {
    this.node.hidden = !keys.length;
    const same = (key, before) => before && ["user", "team", "key_alias"].every((name) => key[name] === before[name]);
    this.rows.replaceChildren(...keys.map((key, place) => {
      const shown = ([name]) => same(key, keys[place - 1]) && !OF_BUDGET.has(name) ? "" : cell(name, key);
      const closed = ([name]) => (name === "blocked" && key.blocked) || (name === "left" && key.left === 0);
      return h("tr", {}, ...COLUMNS.map((column) => h("td", { "data-name": column[0], class: closed(column) ? "lab-usage-closed" : "" }, shown(column))));
    }));
  }
}

function cell(name, key) {
  const value = key[name];
  if (name === "blocked") return value ? "blocked" : "open";
  if (name === "last_active") return value ?? "never";
  if (name === "max_budget") return value == null ? "none" : FORMAT.money(value);
  if (value == null) return "";
  return name === "left" ? FORMAT.money(value) : value;
}
