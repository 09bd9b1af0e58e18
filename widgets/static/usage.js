// The usage dashboard in the browser. `vegaEmbed` is bundled with this file; text only ever becomes text nodes.

const FILTERS = [
  ["model", "Model", "All models"],
  ["user", "User", "All users"],
  ["team", "Team", "All teams"],
  ["key_alias", "Key", "All keys"],
];
const SPANS = [["24h", "24 hours"], ["7d", "7 days"], ["30d", "30 days"], ["90d", "90 days"], ["all", "All"], ["custom", "Dates"]];
const STATUS = [["", "All"], ["success", "Answered"], ["failure", "Failed"]];
const MEASURES = [["requests", "Requests"], ["total_tokens", "Tokens"], ["spend", "Spend"], ["failures", "Failures"]];
const BY = [["model", "by model"], ["user", "by user"], ["team", "by team"], ["key_alias", "by key"]];
const COLUMNS = [
  ["time", "Time"], ["model", "Model"], ["status", "Status"], ["user", "User"], ["team", "Team"], ["key_alias", "Key"],
  ["prompt_tokens", "Prompt"], ["completion_tokens", "Answer"], ["duration_s", "Seconds"],
  ["first_token_s", "First token"], ["spend", "Spend"],
];
const HOUR = 3600e3;
const STEP = { quarter: HOUR / 4, hour: HOUR, day: 24 * HOUR, week: 7 * 24 * HOUR };
const LIVE_EVERY = 10e3;
const DEBOUNCE = 250;

function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

const number = (value, digits = 3) => value.toLocaleString("en", { maximumSignificantDigits: digits });
const FORMAT = {
  count: (value) => (value >= 1e5 ? value.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 }) : value.toLocaleString("en")),
  money: (value) => `$${value >= 1 ? value.toFixed(2) : number(value, 2)}`,
  share: (value) => `${(value * 100).toFixed(1)} %`,
  seconds: (value) => `${number(value)} s`,
  rate: (value) => number(value),
};

// A moment on the charts' clock, which Vega takes for UTC, as the kernel reads it: without a zone.
const clock = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 19);

function endOf(begin, grain) {
  if (grain !== "month") return begin + STEP[grain];
  const date = new Date(begin);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}

class Dashboard {
  constructor(model, root, signal) {
    this.model = model;
    this.root = root;
    this.choice = null;
    this.charts = {};
    this.bucket = null;
    this.send = (message) => model.send(message);
    this.choose = lodashDebounce(() => this.send({ type: "choose", choice: this.choice }), DEBOUNCE);
    this.build();
    const listen = (message) => this.on(message);
    model.on("msg:custom", listen);
    const theme = new MutationObserver(() => this.draw());
    theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
    const room = new ResizeObserver(() => this.fit());
    room.observe(root);
    const live = setInterval(() => {
      if (this.live.checked && !this.waiting && document.visibilityState === "visible" && root.isConnected) this.send({ type: "refresh" });
    }, LIVE_EVERY);
    signal.addEventListener("abort", () => {
      model.off("msg:custom", listen);
      theme.disconnect();
      room.disconnect();
      clearInterval(live);
      for (const chart of Object.values(this.charts)) chart.result?.finalize();
    });
    this.send({ type: "open", zone: Intl.DateTimeFormat().resolvedOptions().timeZone });
  }

  build() {
    const field = (label, control) => {
      control.setAttribute("aria-label", label);  // the label's own text would go on with all options
      return h("label", { class: "lab-usage-field" }, h("span", {}, label), control);
    };
    const select = (name, choices) => h("select", { onchange: (event) => this.set({ [name]: event.target.value }) },
      ...choices.map(([value, text]) => h("option", { value }, text)));
    this.spans = h("div", { class: "lab-usage-spans", role: "group", "aria-label": "Time range" },
      ...SPANS.map(([value, text]) => h("button", { type: "button", "data-value": value, onclick: () => this.span(value) }, text)));
    this.selects = Object.fromEntries(FILTERS.map(([name, , all]) => [name, select(name, [["", all]])]));
    this.selects.status = select("status", STATUS);
    this.selects.measure = select("measure", MEASURES);
    this.selects.by = select("by", BY);
    const date = (name) => h("input", { type: "datetime-local", onchange: (event) => this.set({ [name]: event.target.value, span: "custom" }) });
    this.dates = { since: date("since"), until: date("until") };
    this.zone = h("input", { type: "text", size: 16, spellcheck: "false", onchange: (event) => this.set({ zone: event.target.value.trim() }) });
    this.live = h("input", { type: "checkbox" });
    this.state = h("span", { class: "lab-usage-state", role: "status" }, "Asking the log …");
    this.reset = h("button", { type: "button", class: "lab-usage-quiet", hidden: true, onclick: () => this.clear() }, "Clear filters");
    this.between = h("div", { class: "lab-usage-row", hidden: true }, field("From", this.dates.since), field("To", this.dates.until));
    this.problem = h("div", { class: "lab-usage-problem", role: "alert", hidden: true });
    this.warnings = h("div", { class: "lab-usage-warnings", role: "status", hidden: true });
    this.tiles = h("div", { class: "lab-usage-tiles" });
    this.places = {};
    const card = (place, title, hint = "", ...extra) => {
      this.places[place] = h("div", { class: "lab-usage-chart" });
      const head = h("header", {}, h("h3", {}, title), ...extra, hint ? h("span", { class: "lab-usage-hint" }, hint) : null);
      return h("section", { class: "lab-usage-card", "data-place": place }, head, this.places[place]);
    };
    const counted = h("span", { class: "lab-usage-counted" }, this.selects.measure, this.selects.by);
    this.selects.measure.setAttribute("aria-label", "What is counted");
    this.selects.by.setAttribute("aria-label", "What is told apart");
    const column = (...cards) => h("div", { class: "lab-usage-column" }, ...cards);
    this.grid = h("div", { class: "lab-usage-grid" },
      card("time", "Over time", "Drag to zoom in, click a bar for its requests", counted),
      column(card("latency", "How long answers take", "Click a point for its requests"), card("week", "Requests by hour of the week")),
      column(card("who", "Ranking", "Click a bar to see only it"), card("errors", "Failures by kind", "Click to see them")));
    this.table = h("tbody");
    this.chip = h("span", { class: "lab-usage-chip", hidden: true });
    this.more = h("button", { type: "button", class: "lab-usage-quiet", hidden: true, onclick: () => this.send({ type: "rows", more: true }) }, "Show more");
    this.requests = h("section", { class: "lab-usage-card lab-usage-requests" },
      h("header", {}, h("h3", {}, "Requests"), this.chip),
      h("div", { class: "lab-usage-scroll", tabindex: "0" },
        h("table", {}, h("thead", {}, h("tr", {}, ...COLUMNS.map(([name, title]) => h("th", { scope: "col", "data-name": name }, title)))), this.table)),
      this.more);
    this.empty = h("div", { class: "lab-usage-empty", hidden: true }, h("h3", {}, "No requests yet"),
      h("p", {}, "As soon as somebody asks a model, it shows here some seconds later. Open chat.ipynb and say hello, or call the hub with a key."));
    this.content = h("div", { class: "lab-usage-content" }, this.tiles, this.grid, this.requests);
    this.root.append(
      h("div", { class: "lab-usage-bar" }, this.spans,
        h("label", { class: "lab-usage-live" }, this.live, "Live"),
        h("button", { type: "button", class: "lab-usage-quiet", onclick: () => this.send({ type: "refresh" }) }, "Refresh"), this.state),
      this.between,
      h("div", { class: "lab-usage-row" }, ...FILTERS.map(([name, label]) => field(label, this.selects[name])),
        field("Status", this.selects.status), field("Time zone", this.zone), this.reset),
      this.problem, this.warnings, this.empty, this.content);
  }

  set(change) {
    this.choice = { ...this.choice, ...change };
    this.waiting = true;
    this.showChoice();
    this.choose();
  }

  span(value) {
    // Dates begin where the range in use is, so that nothing jumps.
    if (value === "custom" && !this.choice.since) {
      const day = (offset) => clock(Date.now() - offset * 24 * HOUR).slice(0, 10);
      this.set({ span: "custom", since: `${day(7)}T00:00`, until: `${day(-1)}T00:00` });
    } else this.set({ span: value });
  }

  clear() {
    this.set({ model: "", user: "", team: "", key_alias: "", status: "" });
  }

  on(message) {
    if (message.type === "busy") this.busy(message.busy);
    else if (message.type === "view") this.view(message);
    else if (message.type === "rows") this.rows(message);
    else if (message.type === "problem") this.fail(message);
    else if (message.type === "warnings") this.warn(message);
  }

  busy(busy) {
    this.root.classList.toggle("lab-usage-busy", busy);
    if (busy) this.state.textContent = "Asking the log …";
    else if (this.state.textContent === "Asking the log …") this.state.textContent = this.said ?? "";
  }

  fail({ reason, remedy }) {
    this.waiting = false;
    this.problem.replaceChildren(h("strong", {}, reason), " ", remedy);
    this.problem.hidden = false;
    if (!this.choice) this.content.hidden = true;
  }

  warn({ warnings }) {
    this.warnings.replaceChildren(...warnings.map((warning) => h("div", {}, warning)));
    this.warnings.hidden = !warnings.length;
  }

  view(message) {
    // An answer to what was chosen before must not undo what the reader has chosen since.
    const same = Object.entries(message.choice).every(([name, value]) => this.choice?.[name] === value);
    if (this.waiting && !same) return;
    this.waiting = false;
    this.problem.hidden = true;
    this.choice = { ...message.choice };
    this.grain = message.grain;
    this.specs = message.charts;
    this.fill(message.options);
    this.showChoice();
    this.empty.hidden = !message.empty;
    this.content.hidden = message.empty;
    this.tiles.replaceChildren(...message.tiles.map((tile) => this.tile(tile)));
    const stale = { stale: " · roll-up is behind", building: " · history is being added up", missing: " · not added up yet" };
    this.said = `As of ${new Date(message.at).toLocaleTimeString()}${stale[message.freshness] ?? ""}`;
    this.state.textContent = this.said;
    this.draw();
  }

  fill(options) {
    for (const [name, , all] of FILTERS) {
      const chosen = this.choice[name];
      const names = chosen && !options[name].includes(chosen) ? [chosen, ...options[name]] : options[name];
      this.selects[name].replaceChildren(h("option", { value: "" }, all), ...names.map((value) => h("option", { value }, value)));
    }
  }

  showChoice() {
    for (const [name, select] of Object.entries(this.selects)) select.value = this.choice[name];
    for (const button of this.spans.children) button.setAttribute("aria-pressed", String(button.dataset.value === this.choice.span));
    for (const [name, input] of Object.entries(this.dates)) input.value = this.choice[name].slice(0, 16);
    this.between.hidden = this.choice.span !== "custom";
    this.zone.value = this.choice.zone;
    this.reset.hidden = !["status", ...FILTERS.map(([name]) => name)].some((name) => this.choice[name]);
  }

  tile({ title, kind, value, before, more_is_better: better }) {
    const shown = value == null ? "–" : FORMAT[kind](value);
    let shift = null;
    if (value != null && before) {
      const ratio = value / before - 1;
      // A share's change is told in points: "+50 %" of 2 % would read like an alarm.
      const change = (kind === "share" ? value - before : ratio) * 100;
      const size = Math.abs(change).toFixed(Math.abs(change) < 10 ? 1 : 0);
      const words = `${size === "0.0" ? "±" : change > 0 ? "+" : "−"}${size} ${kind === "share" ? "points" : "%"}`;
      const good = better == null || Math.abs(ratio) < 0.005 ? "" : ratio > 0 === better ? "good" : "bad";
      shift = h("span", { class: "lab-usage-change", "data-good": good, title: `In the span of the same length before: ${FORMAT[kind](before)}` }, words, h("small", {}, " vs. before"));
    }
    return h("div", { class: "lab-usage-tile" }, h("span", { class: "lab-usage-name" }, title), h("strong", {}, shown), shift);
  }

  draw() {
    if (!this.specs) return;
    const config = theme(this.root);
    for (const [place, spec] of Object.entries(this.specs)) {
      const node = this.places[place];
      if (typeof spec === "string") {
        this.charts[place]?.result?.finalize();
        delete this.charts[place];
        node.replaceChildren(h("p", { class: "lab-usage-nothing" }, spec.split(": nothing")[0] === spec ? spec : "Nothing to show in this time span."));
        continue;
      }
      this.embed(place, node, spec, config);
    }
  }

  async embed(place, node, spec, config) {
    const turn = (this.charts[place]?.turn ?? 0) + 1;
    const before = this.charts[place]?.result;
    this.charts[place] = { turn, result: before };
    // Drawn aside and put in place whole: a live page does not flicker.
    const stage = h("div", { class: "lab-usage-stage" });
    node.append(stage);
    const result = await vegaEmbed(stage, { ...spec, config }, { actions: false, renderer: "svg", ast: true, mode: "vega-lite", tooltip: { theme: dark() ? "dark" : "light" } });
    if (this.charts[place].turn !== turn) {
      result.finalize();
      stage.remove();
      return;
    }
    before?.finalize();
    node.replaceChildren(stage);
    stage.classList.remove("lab-usage-stage");
    this.charts[place].result = result;
    this.link(place, result.view);
  }

  /** Fill the room that is there: Vega itself follows the window alone, and JupyterLab's sidebars come and go in it. */
  fit() {
    for (const { result } of Object.values(this.charts)) {
      const width = result?.view.container()?.clientWidth;
      if (width && width !== result.view.width()) result.view.width(width).runAsync();
    }
  }

  link(place, view) {
    if (place === "time") {
      const zoom = () => {
        const [range] = Object.values(view.signal("brush") ?? {});
        if (range && range[1] - range[0] > STEP.quarter) this.set({ span: "custom", since: clock(+range[0]), until: clock(+range[1]) });
      };
      // The drag may end outside of the chart; Vega has heard of its end when this listener's turn is over.
      view.container().addEventListener("pointerdown", () => window.addEventListener("pointerup", () => setTimeout(zoom), { once: true }));
    }
    view.addEventListener("click", (_event, item) => {
      const datum = item?.datum;
      if (!datum) return;
      if (place === "who" && datum[this.choice.by] && datum[this.choice.by] !== "(none)") {
        this.set({ [this.choice.by]: this.choice[this.choice.by] ? "" : datum[this.choice.by] });
      } else if (place === "errors") this.set({ status: "failure" });
      else if (place === "time" || place === "latency") {
        if (datum.time) this.drill(+datum.time);
      }
    });
  }

  drill(begin) {
    this.send({ type: "rows", bucket: [clock(begin), clock(endOf(begin, this.grain))] });
    this.requests.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  rows({ rows, more, bucket, added }) {
    const line = (row) => h("tr", { "data-status": row.status }, ...COLUMNS.map(([name]) => h("td", { "data-name": name }, cell(name, row))));
    if (!added) this.table.replaceChildren();
    this.table.append(...rows.map(line));
    if (!this.table.children.length) this.table.append(h("tr", {}, h("td", { colspan: COLUMNS.length, class: "lab-usage-nothing" }, "No requests.")));
    this.more.hidden = !more;
    this.chip.hidden = !bucket;
    if (bucket) {
      const off = h("button", { type: "button", "aria-label": "Show all again", onclick: () => this.send({ type: "rows" }) }, "×");
      this.chip.replaceChildren(`${bucket[0].replace("T", " ").slice(0, 16)} – ${bucket[1].replace("T", " ").slice(0, 16)}`, off);
    }
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

function dark() {
  const light = document.body.dataset.jpThemeLight;
  return light ? light === "false" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function theme(root) {
  const style = getComputedStyle(root);
  const of = (name) => style.getPropertyValue(name).trim();
  const text = of("--lab-usage-muted");
  const line = of("--lab-usage-line");
  return {
    background: "transparent",
    font: style.fontFamily,
    view: { stroke: null },
    axis: { labelColor: text, titleColor: text, gridColor: line, domainColor: line, tickColor: line, titleFontWeight: "normal", labelFontSize: 11, titleFontSize: 11 },
    axisX: { grid: false },
    axisBand: { grid: false, domain: false, ticks: false },
    legend: { labelColor: text, titleColor: text, labelFontSize: 11, symbolType: "circle" },
    bar: { fill: of("--lab-usage-accent") },
    rect: { fill: of("--lab-usage-accent") },
    line: { stroke: of("--lab-usage-accent"), strokeWidth: 1.6 },
    range: { category: of("--lab-usage-palette").split(" "), heatmap: of("--lab-usage-ramp").split(" "), ramp: of("--lab-usage-ramp").split(" ") },
  };
}

export default {
  render({ model, el, signal }) {
    const root = h("div", { class: "lab-usage" });
    el.append(root);
    const ended = new AbortController();
    new Dashboard(model, root, signal ?? ended.signal);
    return () => ended.abort();
  },
};
