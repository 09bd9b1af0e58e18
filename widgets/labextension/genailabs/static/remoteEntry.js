// The lab's extension of JupyterLab and Notebook: what a panel in an output cannot know or do by itself.
//
// A panel dispatches the event `genailabs:insert-cell` with {code, run, cell, done} to have code put into a new cell, or
// the cell that already has it run. Whoever can serve it prevents its default and calls done(true, cell); outside
// JupyterLab nobody does, and the panel copies the code instead.
// With `genailabs:kernel` it asks how its kernel is: `status`, `connection`, `place` (the cell) and `run`, which runs
// that cell again, are filled in.
//
// What stands under code cells (Explain, Fix) is in `cells.js`.
//
// JupyterLab loads an extension as a module federation container: an object with `init` and `get`. This one is small
// enough to be written as that object, so it needs no build. Its modules lie beside it.
(() => {
  const EVENT = "genailabs:insert-cell";
  const QUESTION = "genailabs:kernel";
  const SOON = 5000; // milliseconds
  const SIDE = "genailabs-chat";
  const MET = "genailabs-met";
  const WELCOME = "welcome.md";
  const SIDE_CODE = "from widgets.panels.side_chat import SideChat\npanel = SideChat()\npanel";
  const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16"><path class="jp-icon3" fill="#616161" d="M4 3h16a2 2 0 0 1 2 2v10a2 2 0 0 1-2 2H9l-5 4v-4a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2zm3 5v2h10V8zm0 4v2h7v-2z"/></svg>`;
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

  /** For the chat beside the work, the notebook that is worked in, at the selected cell. */
  function inFront(tracker, element) {
    const panel = tracker.currentWidget;
    const beside = sides.some(({ node }) => node.contains(element));
    return beside && panel ? { panel, index: panel.content.activeCellIndex } : null;
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
    const found = place(tracker, event.composedPath()[0]) ?? inFront(tracker, event.composedPath()[0]);
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
    const element = event.composedPath()[0];
    const found = place(tracker, element);
    const side = sides.find(({ node }) => node.contains(element));
    const sessionContext = (found?.panel ?? side)?.sessionContext;
    if (!sessionContext) return;
    const kernel = sessionContext.session?.kernel;
    const cell = found?.panel.content.widgets[found.index];
    const again = found ? () => NotebookActions.runCells(found.panel.content, [cell], sessionContext) : () => fill(side);
    Object.assign(event.detail, {
      status: kernel?.status ?? "dead",
      connection: kernel?.connectionStatus ?? "connected",
      place: found ? `${found.panel.context.path}#${cell.model.id}` : SIDE,
      notebook: side && beside(tracker.currentWidget),
      run: async () => {
        if (!kernel || kernel.status === "dead") await sessionContext.restartKernel();
        await again();
      },
    });
  }

  /** What a chat may ask of the notebook that is worked in. */
  function beside(panel) {
    const kernel = panel?.sessionContext.session?.kernel;
    if (!kernel) return undefined;
    const { content, context } = panel;
    const failed = content.widgets.findLast(({ model }) => errorOf(model));
    return {
      name: context.path.split("/").at(-1),
      cell: content.activeCell?.model.sharedModel.getSource(),
      error: failed && errorOf(failed.model),
      evaluate: (expression) => evaluate(kernel, expression),
    };
  }

  async function evaluate(kernel, expression) {
    // Silent and without code: nothing of the notebook's history, counter or `_` changes.
    const asked = { code: "", silent: true, store_history: false, user_expressions: { lab: expression }, allow_stdin: false };
    const { lab } = (await kernel.requestExecute(asked).done).content.user_expressions ?? {};
    if (lab?.status !== "ok") throw new Error(lab?.evalue ?? "its kernel was interrupted");
    return lab.data["text/plain"];
  }

  /** The error that a cell's outputs end with, and the code that made it. */
  function errorOf(model) {
    const outputs = model.outputs?.toJSON() ?? [];
    const error = outputs.findLast(({ output_type }) => output_type === "error");
    if (!error) return null;
    const trace = error.traceback.join("\n").replace(/\u001b\[[0-9;]*m/g, "");
    return { summary: `${error.ename}: ${error.evalue}`, value: error.evalue, trace, text: `${trace}\n\nThe cell:\n${model.sharedModel.getSource()}` };
  }

  // The chat beside the work is a console of its own kernel whose one output is the panel: consoles show widgets, come
  // back after a reload, and have JupyterLab's own commands for their kernel.
  const sides = [];

  let unseen = false; // the chat that is being opened stays behind what is shown

  async function openSide(app, seen = true) {
    if (sides.length) return seen && app.shell.activateById(sides[0].id);
    const kernelPreference = { name: "python3", shouldStart: true, canStart: true, shutdownOnDispose: true };
    unseen = !seen;
    return app.commands.execute("console:create", { path: SIDE, name: "Chat", kernelPreference, activate: false });
  }

  /** Make the chat of a console that was opened for it, now or before the page was reloaded. */
  function adopt(app, icon, panel) {
    if (panel.sessionContext.path !== SIDE) return;
    sides.push(panel);
    panel.disposed.connect(() => sides.splice(sides.indexOf(panel), 1));
    panel.addClass("genailabs-side");
    // Its least width goes by the window's, at which Lumino looks only when told.
    const fit = () => panel.parent?.fit();
    addEventListener("resize", fit);
    panel.disposed.connect(() => removeEventListener("resize", fit));
    // Enter would go to the console's own prompt, which nobody sees.
    const handle = panel.console.handleEvent.bind(panel.console);
    panel.console.handleEvent = (event) => event.type !== "keydown" && handle(event);
    Object.assign(panel.title, { caption: "Chat with the lab's models", icon, closable: true });
    // The console is put into the main area when it is made; afterwards it may move.
    const seen = !unseen;
    setTimeout(() => {
      app.shell.add(panel, "right", { rank: 1 });
      if (seen) app.shell.activateById(panel.id);
    });
    void fill(panel);
  }

  const filled = new WeakMap(); // when the chat of a console is there

  function fill(panel) {
    const filling = async () => {
      await panel.sessionContext.ready;
      panel.console.clear();
      await panel.console.inject(SIDE_CODE);
    };
    filled.set(panel, filling());
    return filled.get(panel);
  }

  /** The kernel of the chat, which is opened where it is not; `again` has the chat made anew in it. */
  async function sideKernel(app, seen, again) {
    await openSide(app, seen);
    const [side] = sides;
    await (again ? fill(side) : filled.get(side));
    return side.sessionContext.session?.kernel;
  }

  function style(more) {
    const sheet = document.createElement("style");
    sheet.textContent = `.genailabs-side { min-width: clamp(187px, 100vw - 453px, 380px) !important; }
      .genailabs-side :is(.jp-Toolbar, .jp-CodeConsole-input, .jp-CodeConsole-promptCell, .jp-CodeConsole-banner, .jp-CellHeader,
      .jp-Cell-inputWrapper, .jp-OutputPrompt, .jp-OutputArea-promptOverlay, .jp-OutputCollapser, .jp-CellFooter, .lm-SplitPanel-handle) { display: none !important; }
      .genailabs-side :is(.jp-CodeConsole, .jp-CodeConsole-content) { inset: 0 !important; width: 100% !important; height: 100% !important; }
      .genailabs-side :is(.jp-CodeConsole-content, .jp-CodeCell, .jp-Cell-outputWrapper, .jp-Cell-outputArea, .jp-OutputArea-child,
      .jp-OutputArea-output, .jp-OutputArea-output > *, .jupyter-widgets) { height: 100%; max-height: none; margin: 0; padding: 0; border: 0; }
      .genailabs-side .lab-chat { height: 100% !important; max-height: none; margin: 0; border: 0; border-radius: 0; resize: none; }${more}`;
    document.head.append(sheet);
  }

  async function plugin() {
    const { INotebookTracker, NotebookActions } = await use("@jupyterlab/notebook");
    const { IConsoleTracker } = await use("@jupyterlab/console");
    const { ILauncher } = await use("@jupyterlab/launcher");
    const { ICommandPalette } = await use("@jupyterlab/apputils");
    const { PageConfig } = await use("@jupyterlab/coreutils");
    const { LabIcon } = await use("@jupyterlab/ui-components");
    const cells = await import("./cells.js");
    const icon = new LabIcon({ name: "genailabs:chat", svgstr: ICON });
    // The first start of all opens the chat and a page of welcome; whoever has closed them knows where they are.
    const greet = async (app) => {
      if (PageConfig.getOption("workspace") !== "default" || localStorage.getItem(MET)) return;
      localStorage.setItem(MET, "yes");
      void openSide(app);
      await app.serviceManager.contents.get(WELCOME, { content: false });
      await app.commands.execute("docmanager:open", { path: WELCOME, factory: "Markdown Preview" });
    };
    return {
      id: "genailabs:chat",
      description: "What chat panels need of JupyterLab: cells for their code, their kernel's state, a place beside the work.",
      autoStart: true,
      requires: [INotebookTracker],
      optional: [IConsoleTracker, ILauncher, ICommandPalette],
      activate: (app, tracker, consoles, launcher, palette) => {
        if (consoles && app.name === "JupyterLab") {
          style(cells.STYLE);
          const command = "genailabs:open-chat";
          app.commands.addCommand(command, { label: (args) => (args.isPalette ? "Chat beside the work" : "Chat"), caption: "Chat with the lab's models beside your work", icon, execute: () => openSide(app) });
          consoles.widgetAdded.connect((_, panel) => adopt(app, icon, panel));
          cells.install({ app, tracker, palette, NotebookActions, evaluate, errorOf, sideKernel: (seen, again) => sideKernel(app, seen, again) });
          launcher?.add({ command, category: "Notebook", rank: 0 });
          palette?.addItem({ command, category: "GenAI Labs", args: { isPalette: true } });
          void app.restored.then(() => greet(app)).catch(() => {}); // another folder has no such page
        }
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
