// The lab's extension of JupyterLab and Notebook: what a panel in an output cannot know or do by itself.
//
// A panel dispatches the event `genailabs:insert-cell` with {code, run, done} to have code put into a new cell. Whoever
// can serve it prevents its default; outside JupyterLab nobody does, and the panel copies the code instead.
// With `genailabs:kernel` it asks how its kernel is: `status`, `connection`, `place` (the cell) and `run`, which runs
// that cell again, are filled in.
//
// JupyterLab loads an extension as a module federation container: an object with `init` and `get`. This one is small
// enough to be written as that object, so it needs no build.
(() => {
  const EVENT = "genailabs:insert-cell";
  const QUESTION = "genailabs:kernel";
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
    notebook.activeCellIndex = index + 1;
    notebook.mode = "command";
    void notebook.scrollToItem(index + 1);
  }

  function serve(tracker, NotebookActions, event) {
    const { code, run, done } = event.detail ?? {};
    const found = place(tracker, event.composedPath()[0]);
    if (event.defaultPrevented || typeof code !== "string" || !found || found.panel.content.model?.readOnly) return;
    event.preventDefault();
    insert(found, code);
    done?.(true);
    // Nobody waits for the end: a cell may run for hours, and shows by itself how it goes.
    if (run) void NotebookActions.run(found.panel.content, found.panel.sessionContext);
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
