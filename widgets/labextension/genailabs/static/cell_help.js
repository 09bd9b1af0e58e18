// What stands under a code cell: Explain and Fix where it failed, a line for a wish, and the change that a model proposes.
// Nothing is done to the cell before somebody says so, and Undo gives it back as it was.
const KEYS = { "Apply": "Enter", "Apply and run": "Shift+Enter", "Undo": "Ctrl+Z", "Close": "Esc", "Cancel": "Esc" };
const ARIA = { "Esc": "Escape", "Ctrl+Z": "Control+Z" };

export class CellHelp {
  /**
   * @param {object} cell the widget of the cell
   * @param {object} notebook what the notebook and the chat do for it:
   *   failed() tells whether it ended with an error, error() returns {trace, value} of that or nothing, source() and setSource(text) are its code,
   *   tell(source, value) asks its kernel what a model should know, ask(type, cell, signal, heard) asks the chat,
   *   run() runs the cell, save() saves the notebook, leave() gives the focus back to it
   */
  constructor(cell, notebook) {
    this.cell = cell;
    this.notebook = notebook;
    this.asking = null; // ends the request that is on its way
    this.state = "idle"; // or "wish", "waiting", "proposed", "applied", "said"
    this.buttons = h("div", { class: "genailabs-row", hidden: true }, button("Explain", () => this.explain(), "Explain this error in the chat"), button("Fix", () => this.fix(), "Propose a corrected cell"));
    this.area = h("div", { class: "genailabs-area", hidden: true });
    this.words = h("div", { class: "genailabs-words", role: "status" });
    // JupyterLab's own keys would act on the notebook.
    this.node = h("div", { class: "genailabs-cell", role: "group", "aria-label": "Help with this cell", "data-lm-suppress-shortcuts": "true", "data-jp-suppress-context-menu": "" }, this.buttons, this.words, this.area);
    this.node.addEventListener("keydown", (event) => this.#key(event));
    cell.disposed.connect(() => this.asking?.abort());
    this.draw();
  }

  /** The cell's outputs may have changed. */
  draw() {
    const failed = this.notebook.failed();
    this.buttons.hidden = !failed;
    if (!failed && this.state === "idle") this.node.remove();
    else if (!this.node.parentNode) this.cell.node.append(this.node);
  }

  explain() {
    void this.#ask("Opening the chat …", async (signal) => {
      await this.#reply("explain", "", this.notebook.source(), signal);
      this.#show("idle");
    });
  }

  fix() {
    this.#write("");
  }

  /** Ask for a wish, in a line of words. */
  change() {
    const field = h("input", { type: "text", "aria-label": "What should change in this cell?", placeholder: "What should change?", autocomplete: "off" });
    const send = () => field.value.trim() && this.#write(field.value.trim());
    field.addEventListener("keydown", (event) => event.key === "Enter" && !event.isComposing && (event.preventDefault(), send()));
    this.asking?.abort();
    this.#show("wish", "", row(field, button("Ask", send), this.#closer("Close")));
    this.focus();
  }

  close() {
    this.asking?.abort();
    const within = this.node.contains(document.activeElement);
    this.#show("idle");
    if (within) this.notebook.leave();
  }

  #write(wish) {
    const old = this.notebook.source();
    void this.#ask("Asking the model …", async (signal) => {
      const { code, lines, model, told } = await this.#reply("write", wish, old, signal);
      if (code === old) return this.#say(`${model} proposes no change.`);
      this.proposal = { old, code, lines, by: `Proposed by ${model}${told ? "" : ", which knew nothing of the notebook's variables"}.` };
      return this.#propose();
    });
  }

  /** Do something that takes its time and may fail or be cancelled. */
  async #ask(words, act) {
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    this.#show("waiting", words, row(this.#closer("Cancel")));
    try {
      await act(signal);
    } catch (error) {
      if (!signal.aborted) this.#say(error.message);
    }
  }

  async #reply(type, wish, source, signal) {
    const error = this.notebook.error();
    const told = type === "write" ? await this.notebook.tell(source, error?.value ?? "") : {};
    signal.throwIfAborted();
    const heard = (model) => {
      this.words.textContent = `${model} is writing …`;
    };
    const reply = await this.notebook.ask(type, { source, wish, error: wish ? "" : (error?.trace ?? ""), ...told }, signal, heard);
    if (!reply.ok) throw new Error(`${reply.reason} ${reply.remedy}`.trim());
    return { ...reply, told: Boolean(told) };
  }

  #propose() {
    const { lines, by } = this.proposal;
    const [gone, come] = ["-", "+"].map((sign) => lines.filter(([found]) => found === sign).length);
    const name = `Proposed change: ${gone} ${gone === 1 ? "line" : "lines"} removed, ${come} added`;
    const diff = h("pre", { class: "genailabs-diff", tabindex: "0", role: "region", "aria-label": name }, ...lines.map(line));
    this.#show("proposed", by, diff, row(button("Apply", () => this.#apply(false)), button("Apply and run", () => this.#apply(true)), this.#closer("Close")));
  }

  #apply(runs) {
    const { old, code } = this.proposal;
    if (this.notebook.source() !== old) return this.#say("The cell was changed meanwhile. Ask again.");
    if (!this.notebook.editable()) return this.#say("This cell is not editable.");
    this.notebook.setSource(code);
    this.#show("applied", "The change is applied.", row(button("Undo", () => this.#undo()), this.#closer("Close")));
    if (runs) this.notebook.run();
    return undefined;
  }

  #undo() {
    this.notebook.setSource(this.proposal.old);
    this.#propose();
  }

  #say(words) {
    this.#show("said", words, row(this.#closer("Close")));
  }

  /** Go to what can be done now. */
  focus() {
    (this.area.querySelector("input, button") ?? this.buttons.firstChild).focus();
  }

  #show(state, words = "", ...parts) {
    const kept = this.node.contains(document.activeElement);
    this.state = state;
    this.node.dataset.state = state;
    this.words.textContent = words;
    this.area.replaceChildren(...parts);
    this.area.hidden = !parts.length;
    this.draw();
    // Whoever has gone on to something else meanwhile is not called back.
    if (kept) this.focus();
  }

  #closer(label) {
    return button(label, () => this.close());
  }

  #key(event) {
    const { key, shiftKey, target } = event;
    const control = (event.ctrlKey || event.metaKey) && !shiftKey;
    let act;
    if (key === "Escape" && this.state !== "idle") act = () => this.close();
    else if (key === "Enter" && this.state === "proposed" && (shiftKey || !target.matches("button"))) act = () => this.#apply(shiftKey);
    else if (key === "z" && control && this.state === "applied") act = () => this.#undo();
    else if (key === "s" && control) act = () => this.notebook.save();
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }
}

function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

const row = (...parts) => h("div", { class: "genailabs-row" }, ...parts);

function button(label, click, title) {
  const key = KEYS[label];
  const made = h("button", { type: "button", click, ...(title && { title }), ...(key && { "aria-keyshortcuts": ARIA[key] ?? key }) }, label);
  if (key) made.append(h("kbd", { "aria-hidden": "true" }, key));
  return made;
}

/** A line of the change: its sign says what becomes of it, whatever the colours. */
function line([sign, text]) {
  const tag = { "-": "del", "+": "ins", " ": "span" }[sign];
  return h(tag, {}, h("span", { class: "genailabs-sign" }, sign), text, "\n");
}

export const STYLE = `
  .genailabs-cell { margin: 4px 0 6px calc(var(--jp-cell-prompt-width, 64px) + var(--jp-cell-collapser-width, 8px)); color: var(--jp-ui-font-color1); font: var(--jp-ui-font-size1)/1.4 var(--jp-ui-font-family); }
  @media only screen and (max-width: 480px) { .genailabs-cell { margin-left: var(--jp-cell-collapser-width, 8px); } }
  .genailabs-row { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; margin: 4px 0; }
  .genailabs-cell [hidden] { display: none; }
  .genailabs-cell button { min-height: 26px; padding: 2px 10px; border: 1px solid var(--jp-border-color1); border-radius: 4px; background: var(--jp-layout-color1); color: inherit; font: inherit; cursor: pointer; }
  .genailabs-cell button:hover { background: var(--jp-layout-color2); }
  .genailabs-cell :is(button, input, pre):focus-visible { outline: 2px solid var(--jp-brand-color1); outline-offset: 1px; }
  .genailabs-cell kbd { margin-left: 6px; color: var(--jp-ui-font-color2); font: inherit; font-size: 0.85em; }
  .genailabs-cell input { flex: 1 1 12em; min-width: 0; min-height: 26px; padding: 2px 8px; box-sizing: border-box; border: 1px solid var(--jp-border-color1); border-radius: 4px; background: var(--jp-layout-color1); color: inherit; font: inherit; }
  .genailabs-diff { max-height: 26em; margin: 4px 0; padding: 4px 0; overflow: auto; border: 1px solid var(--jp-border-color2); border-radius: 4px; background: var(--jp-layout-color1); color: var(--jp-content-font-color1); font: var(--jp-code-font-size)/1.5 var(--jp-code-font-family); }
  .genailabs-diff > * { display: block; width: max-content; min-width: 100%; padding: 0 8px; box-sizing: border-box; text-decoration: none; white-space: pre; }
  .genailabs-diff > del { background: color-mix(in srgb, var(--jp-error-color1) 16%, transparent); }
  .genailabs-diff > ins { background: color-mix(in srgb, var(--jp-success-color1) 18%, transparent); }
  .genailabs-sign { display: inline-block; width: 1.5em; font-weight: bold; user-select: none; white-space: pre; }`;
