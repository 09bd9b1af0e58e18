// The list of requests, page by page.
import { h } from "../dom.js";
import { FORMAT } from "./format.js";

const COLUMNS = [
  ["time", "Time"], ["model", "Model"], ["status", "Status"], ["user", "User"], ["team", "Team"], ["key_alias", "Key"],
  ["prompt_tokens", "Prompt"], ["completion_tokens", "Answer"], ["duration_s", "Seconds"],
  ["first_token_s", "First token"], ["spend", "Spend"],
];

export class Requests {
  /** @param {(fields: object) => void} ask asks for rows: `bucket` of these, or `more` */
  constructor(ask) {
    this.ask = ask;
    this.rows = h("tbody");
    this.chip = h("span", { class: "lab-usage-chip", hidden: true });
    this.more = h("button", { type: "button", class: "lab-usage-quiet", hidden: true, onclick: () => ask({ more: true }) }, "Show more");
    const head = h("tr", {}, ...COLUMNS.map(([name, title]) => h("th", { scope: "col", "data-name": name }, title)));
    this.node = h("section", { class: "lab-usage-card lab-usage-requests" },
      h("header", {}, h("h3", {}, "Requests"), this.chip),
      h("div", { class: "lab-usage-scroll", tabindex: "0" }, h("table", {}, h("thead", {}, head), this.rows)),
      this.more);
  }

  show({ rows, more, bucket, added }) {
    const line = (row) => h("tr", { "data-status": row.status }, ...COLUMNS.map(([name]) => h("td", { "data-name": name }, cell(name, row))));
    if (!added) this.rows.replaceChildren();
    this.rows.append(...rows.map(line));
    if (!this.rows.children.length) this.rows.append(h("tr", {}, h("td", { colspan: COLUMNS.length, class: "lab-usage-nothing" }, "No requests.")));
    this.more.hidden = !more;
    this.chip.hidden = !bucket;
    if (!bucket) return;
    const [since, until] = bucket.map((moment) => moment.replace("T", " ").slice(0, 16));
    this.chip.replaceChildren(`${since} – ${until}`, h("button", { type: "button", "aria-label": "Show all again", onclick: () => this.ask({}) }, "×"));
  }
}

function cell(name, row) {
  const value = row[name];
  if (name === "status" && value === "failure") return [row.error_class ?? "failure", row.error_code].filter(Boolean).join(" ");
  if (name === "status") return row.cache_hit ? "from cache" : "answered";
  if (value == null) return "";
  if (name === "spend") return value ? FORMAT.money(value) : "";
  if (name === "duration_s" || name === "first_token_s") return value.toFixed(2);
  return typeof value === "number" ? value.toLocaleString("en") : value;
}
