// The lab's extension of JupyterLab and Notebook: what a panel in an output cannot know or do by itself.
//
// A panel dispatches the event `genailabs:insert-cell` with {code, run, cell, done} to have code put into a new cell, or
// the cell that already has it run. Whoever can serve it prevents its default and calls done(true, cell); outside
// JupyterLab nobody does, and the panel copies the code instead.
// With `genailabs:kernel` it asks how its kernel is: `status`, `connection`, `place` (the cell) and `run`, which runs
// that cell again, are filled in.
//
// JupyterLab loads an extension as a module federation container: an object with `init` and `get`. This one is small
// enough to be written as that object, so it needs no build.
(() => {
  const EVENT = "genailabs:insert-cell";
  const QUESTION = "genailabs:kernel";
  const SOON = 5000; // milliseconds
  let shared = {};

  /** Return a package that JupyterLab shares with its extensions. */
  async function use(name) {
    const versions = Object.values(shared[name] ?? {});
    const offer = versions.find((version) => version.loaded || version.eager) ?? versions[0];
    if (!offer) throw new Error(`JupyterLab does not share ${name}.`);
    return (await offer.get())();
  }

  /** Find the notebook and the number of the cell that an element is shown in. */
  function place(tracker, element) {
    const panel = tracker.find(({ content }) => content.node.contains(element));
    const index = panel ? panel.content.widgets.findIndex((cell) => cell.node.contains(element)) : -1;
    return index < 0 ? null : { panel, index };
  }

  function insert({ panel, index }, source) {
    const notebook = panel.content;
    notebook.model.sharedModel.insertCell(index + 1, { cell_type: "code", source, metadata: { trusted: true } });
    notebook.deselectAll();
    activate(notebook, index + 1);
  }

  function activate(notebook, index) {
    notebook.activeCellIndex = index;
    notebook.mode = "command";
    void notebook.scrollToItem(index);
  }

  /** Number of the cell that was inserted before with just this code, -1 where there is none. */
  const inserted = (notebook, cell, code) =>
    notebook.widgets.findIndex(({ model }) => model.id === cell && model.sharedModel.getSource() === code);

  async function run({ content, sessionContext }, NotebookActions) {
    const cell = content.activeCell;
    const began = Date.now();
    await NotebookActions.run(content, sessionContext);
    // Whoever has read on meanwhile is not called back.
    if (Date.now() - began < SOON && content.activeCell === cell) cell.outputArea?.node.scrollIntoView({ block: "nearest" });
  }

  function serve(tracker, NotebookActions, event) {
    const { code, run: runs, cell, done } = event.detail ?? {};
    const found = place(tracker, event.composedPath()[0]);
    if (event.defaultPrevented || typeof code !== "string" || !found || found.panel.content.model?.readOnly) return;
    event.preventDefault();
    const { content } = found.panel;
    const there = runs ? inserted(content, cell, code) : -1;
    if (there < 0) insert(found, code);
    else activate(content, there);
    done?.(true, content.activeCell?.model.id);
    // Nobody waits for the end: a cell may run for hours, and shows by itself how it goes.
    if (runs) void run(found.panel, NotebookActions);
  }

  function describe(tracker, NotebookActions, event) {
    const found = place(tracker, event.composedPath()[0]);
    if (!found) return;
    const { content, context, sessionContext } = found.panel;
    const cell = content.widgets[found.index];
    const kernel = sessionContext.session?.kernel;
    Object.assign(event.detail, {
      status: kernel?.status ?? "dead",
      connection: kernel?.connectionStatus ?? "connected",
      place: `${context.path}#${cell.model.id}`,
      run: async () => {
        if (!kernel || kernel.status === "dead") await sessionContext.restartKernel();
        await NotebookActions.runCells(content, [cell], sessionContext);
      },
    });
  }

  async function plugin() {
    const { INotebookTracker, NotebookActions } = await use("@jupyterlab/notebook");
    return {
      id: "genailabs:insert-cell",
      description: "Puts code of a chat panel into a new cell below the panel's own.",
      autoStart: true,
      requires: [INotebookTracker],
      activate: (_app, tracker) => {
        document.addEventListener(EVENT, (event) => serve(tracker, NotebookActions, event));
        document.addEventListener(QUESTION, (event) => describe(tracker, NotebookActions, event));
      },
    };
  }

  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB.genailabs = {
    init: (scope) => {
      shared = scope;
    },
    get: async (name) => {
      if (name !== "./extension") throw new Error(`The extension genailabs has no module ${name}.`);
      const made = await plugin();
      return () => ({ __esModule: true, default: made });
    },
  };
})();
