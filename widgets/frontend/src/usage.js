// Entry of usage.js: the usage dashboard. Text only ever becomes text nodes.
import { h } from "./dom.js";
import { Life } from "./life.js";
import { Charts } from "./usage/charts.js";
import { Filters } from "./usage/filters.js";
import { clock, endOf, FORMAT } from "./usage/format.js";
import { Keys } from "./usage/keys.js";
import { Requests } from "./usage/requests.js";

const LIVE_EVERY = 10e3; // milliseconds
const OPEN_EVERY = 2e3;
const PAUSE = 250; // milliseconds without another choice before the log is asked
const ASKING = "Asking the log …";
const FRESHNESS = { stale: " · roll-up is behind", building: " · history is being added up", missing: " · not added up yet" };

class Dashboard {
  constructor(model, root, signal) {
    this.model = model;
    this.root = root;
    this.waiting = false; // for the answer to what the reader has chosen
    this.said = "";
    this.filters = new Filters(() => this.#chosen());
    this.requests = new Requests((fields) => this.#send("rows", fields));
    this.keys = new Keys();
    this.places = {};
    this.life = new Life(model, root, signal, () => this.#open());
    this.#build();
    this.charts = new Charts(root, this.places, {
      zoom: (since, until) => this.filters.set({ span: "custom", since: clock(since), until: clock(until) }),
      click: (place, datum) => this.#clicked(place, datum),
    });
    const listen = (message) => {
      if (message.type !== "pong") clearInterval(opening);
      this[message.type]?.(message);
    };
    model.on("msg:custom", listen);
    const opening = setInterval(() => this.#open(), OPEN_EVERY); // until the kernel has said a word
    const theme = new MutationObserver(() => this.charts.draw());
    theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
    const room = new ResizeObserver(() => this.charts.fit());
    room.observe(root);
    const live = setInterval(() => {
      if (this.live.checked && !this.waiting && document.visibilityState === "visible" && root.isConnected) this.#send("refresh");
    }, LIVE_EVERY);
    signal.addEventListener("abort", () => {
      model.off("msg:custom", listen);
      theme.disconnect();
      room.disconnect();
      clearInterval(live);
      clearInterval(opening);
      clearTimeout(this.timer);
      this.charts.close();
    });
    this.life.node.classList.add("lab-usage-problem");
    this.#open();
  }

  #open() {
    this.#send("open", { zone: Intl.DateTimeFormat().resolvedOptions().timeZone });
  }

  #send(type, fields = {}) {
    this.model.send({ type, ...fields });
  }

  #build() {
    const { filters } = this;
    this.live = h("input", { type: "checkbox" });
    this.state = h("span", { class: "lab-usage-state", role: "status" }, ASKING);
    this.trouble = h("div", { class: "lab-usage-problem", role: "alert", hidden: true });
    this.notices = h("div", { class: "lab-usage-warnings", role: "status", hidden: true });
    this.tiles = h("div", { class: "lab-usage-tiles" });
    const card = (place, title, hint = "", ...extra) => {
      this.places[place] = h("div", { class: "lab-usage-chart" });
      const head = h("header", {}, h("h3", {}, title), ...extra, hint ? h("span", { class: "lab-usage-hint" }, hint) : null);
      return h("section", { class: "lab-usage-card", "data-place": place }, head, this.places[place]);
    };
    const column = (...cards) => h("div", { class: "lab-usage-column" }, ...cards);
    const grid = h("div", { class: "lab-usage-grid" },
      card("time", "Over time", "Drag to zoom in, click a bar for its requests", filters.counted),
      column(card("latency", "How long answers take", "Click a point for its requests"), card("week", "Requests by hour of the week")),
      column(card("who", "Ranking", "Click a bar to see only it"), card("errors", "Failures by kind", "Click to see them")));
    this.empty = h("div", { class: "lab-usage-empty", hidden: true }, h("h3", {}, "No requests yet"),
      h("p", {}, "As soon as somebody asks a model, it shows here some seconds later. Open chat.ipynb and say hello, or call the hub with a key."));
    this.content = h("div", { class: "lab-usage-content" }, this.tiles, grid, this.keys.node, this.requests.node);
    const refresh = h("button", { type: "button", class: "lab-usage-quiet", onclick: () => this.#send("refresh") }, "Refresh");
    const bar = h("div", { class: "lab-usage-bar" }, filters.spans, h("label", { class: "lab-usage-live" }, this.live, "Live"), refresh, this.state);
    this.root.append(this.life.node, bar, filters.between, filters.row, this.trouble, this.notices, this.empty, this.content);
  }

  #chosen() {
    this.waiting = true;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#send("choose", { choice: this.filters.choice }), PAUSE);
  }

  #clicked(place, datum) {
    const { by, [by]: chosen } = this.filters.choice;
    if (place === "who" && datum[by] && !/^no (model|user|team|alias)$/.test(datum[by])) this.filters.set({ [by]: chosen ? "" : datum[by] });
    else if (place === "errors") this.filters.set({ status: "failure" });
    else if ((place === "time" || place === "latency") && datum.time) {
      this.#send("rows", { bucket: [clock(+datum.time), clock(endOf(+datum.time, this.grain))] });
      this.requests.node.scrollIntoView({ block: "nearest" });
    }
  }

  // What the kernel sends, by type.

  busy({ busy }) {
    this.root.classList.toggle("lab-usage-busy", busy);
    if (busy) this.state.textContent = ASKING;
    else if (this.state.textContent === ASKING) this.state.textContent = this.said;
  }

  problem({ reason, remedy }) {
    this.waiting = false;
    this.trouble.replaceChildren(h("strong", {}, reason), " ", remedy);
    this.trouble.hidden = false;
    if (!this.filters.choice) this.content.hidden = true;
  }

  warnings({ warnings }) {
    this.notices.replaceChildren(...warnings.map((warning) => h("div", {}, warning)));
    this.notices.hidden = !warnings.length;
  }

  rows(message) {
    this.requests.show(message);
  }

  view({ choice, options, grain, charts, tiles, keys, empty, at, freshness }) {
    // An answer to what was chosen before must not undo what the reader has chosen since.
    if (this.waiting && !Object.entries(choice).every(([name, value]) => this.filters.choice?.[name] === value)) return;
    this.waiting = false;
    this.trouble.hidden = true;
    this.grain = grain;
    this.filters.take(choice, options);
    this.empty.hidden = !empty;
    this.content.hidden = empty;
    this.tiles.replaceChildren(...tiles.map(makeTile));
    this.keys.show(keys ?? []);
    this.said = `As of ${new Date(at).toLocaleTimeString()}${FRESHNESS[freshness] ?? ""}`;
    this.state.textContent = this.said;
    this.charts.draw(charts);
  }
}

function makeTile({ title, kind, value, before, more_is_better: better }) {
  const shown = value == null ? "–" : FORMAT[kind](value);
  const change = value != null && before ? makeChange(kind, value, before, better) : null;
  return h("div", { class: "lab-usage-tile" }, h("span", { class: "lab-usage-name" }, title), h("strong", {}, shown), change);
}

function makeChange(kind, value, before, better) {
  const ratio = value / before - 1;
  // A share's change is told in points: "+50 %" of 2 % would read like an alarm.
  const change = (kind === "share" ? value - before : ratio) * 100;
  const size = Math.abs(change).toFixed(Math.abs(change) < 10 ? 1 : 0);
  const words = `${size === "0.0" ? "±" : change > 0 ? "+" : "−"}${size} ${kind === "share" ? "points" : "%"}`;
  const good = better == null || Math.abs(ratio) < 0.005 ? "" : ratio > 0 === better ? "good" : "bad";
  const title = `In the span of the same length before: ${FORMAT[kind](before)}`;
  return h("span", { class: "lab-usage-change", "data-good": good, title }, words, h("small", {}, " vs. before"));
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
