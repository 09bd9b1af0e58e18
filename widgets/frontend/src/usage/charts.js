// The charts. `vegaEmbed` comes with the bundle that Python makes of this script, see `usage_dashboard.py`.
import { h } from "../dom.js";
import { STEP } from "./format.js";

export class Charts {
  /**
   * @param {Element} root where the theme's colours are read
   * @param {Record<string, Element>} places the charts' nodes by name
   * @param {{zoom: (since: number, until: number) => void, click: (place: string, datum: object) => void}} on
   */
  constructor(root, places, on) {
    this.root = root;
    this.places = places;
    this.on = on;
    this.drawn = {};
    this.specs = null;
  }

  /** Draw these, or the last ones anew. */
  draw(specs = this.specs) {
    this.specs = specs;
    if (!specs) return;
    const config = theme(this.root);
    for (const [place, spec] of Object.entries(specs)) {
      if (typeof spec === "string") this.#note(place, spec);
      else this.#embed(place, { ...spec, config });
    }
  }

  /** Fill the room that is there: Vega itself follows the window alone, and JupyterLab's sidebars come and go in it. */
  fit() {
    for (const { result } of Object.values(this.drawn)) {
      const width = result?.view.container()?.clientWidth;
      if (width && width !== result.view.width()) result.view.width(width).runAsync();
    }
  }

  close() {
    for (const { result } of Object.values(this.drawn)) result?.finalize();
  }

  #note(place, text) {
    this.drawn[place]?.result?.finalize();
    delete this.drawn[place];
    const words = text.includes(": nothing") ? "Nothing to show in this time span." : text;
    this.places[place].replaceChildren(h("p", { class: "lab-usage-nothing" }, words));
  }

  async #embed(place, spec) {
    const before = this.drawn[place]?.result;
    const mine = { result: before };
    this.drawn[place] = mine;
    // Drawn aside and put in place whole: a live page does not flicker.
    const stage = h("div", { class: "lab-usage-stage" });
    this.places[place].append(stage);
    const options = { actions: false, renderer: "svg", ast: true, mode: "vega-lite", tooltip: { theme: dark() ? "dark" : "light" } };
    const result = await vegaEmbed(stage, spec, options);
    if (this.drawn[place] !== mine) {
      result.finalize();
      stage.remove();
      return;
    }
    before?.finalize();
    this.places[place].replaceChildren(stage);
    stage.classList.remove("lab-usage-stage");
    mine.result = result;
    this.#listen(place, result.view);
  }

  #listen(place, view) {
    if (place === "time") {
      const zoom = () => {
        const [range] = Object.values(view.signal("brush") ?? {});
        if (range && range[1] - range[0] > STEP.quarter) this.on.zoom(+range[0], +range[1]);
      };
      // The drag may end outside of the chart; Vega has heard of its end when this listener's turn is over.
      view.container().addEventListener("pointerdown", () => window.addEventListener("pointerup", () => setTimeout(zoom), { once: true }));
    }
    view.addEventListener("click", (_event, item) => {
      if (item?.datum) this.on.click(place, item.datum);
    });
  }
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
  const ramp = of("--lab-usage-ramp").split(" ");
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
    range: { category: of("--lab-usage-palette").split(" "), heatmap: ramp, ramp },
  };
}
