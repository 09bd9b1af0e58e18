// Help under the code cells of notebooks, and the commands for it.
import { CellHelp } from "./cell_help.js";
import { ask } from "./side_kernel.js";

export { STYLE } from "./cell_help.js";

const TOLD = '__import__("importlib").import_module("widgets.context.remote").of_cell';
const PATIENCE = 4000; // milliseconds for a notebook's kernel to tell of its variables

/**
 * Put help under the cells of all notebooks, those that come later too.
 * @param {object} lab JupyterLab's `app`, `tracker`, `palette` and `NotebookActions`; `errorOf(model)` returns the error of
 *   a cell, `evaluate(kernel, expression)` asks a notebook's kernel without a trace, `sideKernel(seen, again)` returns the
 *   kernel of the chat beside the work
 */
export function install(lab) {
  const helps = new WeakMap();
  const under = (panel) => watch(lab, panel, helps);
  lab.tracker.forEach(under);
  lab.tracker.widgetAdded.connect((_, panel) => under(panel));
  addCommands(lab, () => helps.get(lab.tracker.activeCell));
}

function watch(lab, panel, helps) {
  const { content, context } = panel;
  const look = () => {
    for (const cell of content.widgets) {
      if (cell.model.type !== "code" || helps.has(cell)) continue;
      const help = new CellHelp(cell, notebookOf(lab, panel, cell));
      cell.model.outputs.changed.connect(() => help.draw());
      helps.set(cell, help);
    }
  };
  void context.ready.then(() => {
    content.model.cells.changed.connect(look);
    look();
  });
}

/** What the notebook and the chat do for a cell, see `CellHelp`. */
function notebookOf({ app, NotebookActions, evaluate, errorOf, sideKernel }, { content, context, sessionContext }, cell) {
  const { model } = cell;
  const isPython = () => /python/i.test(content.model.getMetadata("kernelspec")?.language ?? content.model.getMetadata("language_info")?.name ?? "python");
  return {
    isPython,
    failed: () => hasFailed(model) && isPython(),
    error: () => errorOf(model),
    source: () => model.sharedModel.getSource(),
    setSource: (text) => model.sharedModel.setSource(text),
    editable: () => !content.model.readOnly && model.getMetadata("editable") !== false,
    run: () => void NotebookActions.runCells(content, [cell], sessionContext),
    save: () => void app.commands.execute("docmanager:save"),
    leave: () => content.activate(),
    tell: (source, value) => tell((expression) => evaluate(sessionContext.session.kernel, expression), source, value),
    ask: (type, told, signal, heard) => askSide(sideKernel, { type, cell: { ...told, notebook: context.path.split("/").at(-1) } }, signal, heard),
  };
}

/** Whether a cell's outputs have an error; it is asked at each of them, and they may be many. */
function hasFailed({ outputs }) {
  for (let place = outputs.length - 1; place >= 0; place -= 1) if (outputs.get(place).type === "error") return true;
  return false;
}

/** What a notebook's kernel tells of a cell; nothing where it does not, as one of another language or a busy one. */
async function tell(evaluate, source, value) {
  const late = new Promise((_, reject) => setTimeout(() => reject(new Error("late")), PATIENCE));
  const asked = async () => JSON.parse(await evaluate(`${TOLD}(${JSON.stringify(source)}, ${JSON.stringify(value)})`));
  return Promise.race([asked(), late]).catch(() => null);
}

/** Ask the chat's kernel about a cell; one that has forgotten the chat, as after a restart, gets it again. */
async function askSide(sideKernel, request, signal, heard) {
  for (const again of [false, true]) {
    const kernel = await sideKernel(request.type === "explain", again);
    signal.throwIfAborted();
    const reply = kernel && !kernel.isDisposed && kernel.status !== "dead" && (await ask(kernel, request, signal, heard));
    if (reply) return reply;
  }
  return { ok: false, reason: "The chat's kernel does not come up.", remedy: "Close the chat and ask again." };
}

/** Commands that do for the selected cell what its buttons do. */
function addCommands({ app, palette }, selected) {
  const run = (act, help) => {
    act(help);
    help.focus();
  };
  const add = (name, label, act, isEnabled) => {
    const command = `genailabs:${name}`;
    app.commands.addCommand(command, { label, isEnabled, execute: () => run(act, selected()) });
    palette?.addItem({ command, category: "GenAI Labs" });
    return command;
  };
  const failed = () => Boolean(selected()?.notebook.failed());
  add("explain-error", "Explain this cell's error", (help) => help.explain(), failed);
  add("fix-cell", "Fix this cell", (help) => help.fix(), failed);
  const command = add("change-cell", "Change this cell …", (help) => help.change(), () => Boolean(selected()?.notebook.isPython()));
  app.contextMenu.addItem({ command, selector: ".jp-Notebook .jp-CodeCell", rank: 0 });
}
