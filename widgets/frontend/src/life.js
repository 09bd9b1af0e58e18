// Whether the kernel behind a panel still answers. A panel that looks alive and is not would swallow what one types.
import { h, textButton } from "./dom.js";

const EVERY = 1000; // milliseconds between two looks
const WHILE_SILENT = 3000; // milliseconds between two pings that a busy kernel will find in its queue
const SILENCE = 1500; // milliseconds without an answer to a ping after which there is none
const WORDS = {
  lost: ["The connection to the kernel is lost.", "JupyterLab tries to find it again."],
  starting: ["The kernel is starting.", "Then this panel's cell has to run again."],
  gone: ["The kernel has ended.", "Start it and run this panel's cell again."],
  restarted: ["The kernel was restarted.", "This panel's cell has to run again."],
  busy: ["The kernel is busy.", "The panel goes on when it is free."],
  unknown: ["The kernel does not answer.", "It is busy, or was restarted: wait for its cell, or run this panel's cell again."],
};

/** Ask the lab's extension of JupyterLab where a node is shown; empty where there is none. */
export function surroundings(node) {
  const detail = {};
  node.dispatchEvent(new CustomEvent("genailabs:kernel", { detail, bubbles: true, composed: true }));
  return detail;
}

export class Life {
  /**
   * @param {object} model the widget's model
   * @param {HTMLElement} root the panel; `data-silent` is set on it while the kernel does not answer
   * @param {AbortSignal} [signal] ends with the view
   * @param {() => void} onreturn called when it answers again
   */
  constructor(model, root, signal, onreturn) {
    this.model = model;
    this.root = root;
    this.onreturn = onreturn;
    this.alive = true;
    this.met = false; // whether it has ever said a word
    this.severed = false; // whether JupyterLab has given the widget up
    this.heard = performance.now();
    this.pinged = 0; // since when a ping waits for an answer
    this.sent = -Infinity; // when the last one was sent
    this.words = h("span");
    this.button = textButton("Start again here", () => this.#startAgain());
    this.node = h("div", { class: "lab-chat-silent", role: "alert", hidden: true }, this.words, this.button);
    const hear = () => this.#hear();
    const sever = () => {
      this.severed = true;
      this.#ping();
    };
    const look = () => this.#look();
    model.on("msg:custom", hear);
    model.on("comm_live_update", sever);
    root.addEventListener("focusin", look);
    const timer = setInterval(look, EVERY);
    signal?.addEventListener("abort", () => {
      clearInterval(timer);
      model.off("msg:custom", hear);
      model.off("comm_live_update", sever);
    });
  }

  #hear() {
    this.heard = performance.now();
    this.pinged = 0;
    this.met = true;
    this.severed = false;
    if (!this.alive) this.#set(true);
  }

  /** Only where somebody would be deceived: while one types, waits for an answer, or has seen nothing yet. */
  #look() {
    if (document.visibilityState !== "visible" || !this.root.isConnected) {
      this.pinged = 0; // the clock stands in a hidden tab
      return;
    }
    const now = performance.now();
    const deceived = this.root.contains(document.activeElement) || this.root.hasAttribute("data-busy");
    if (this.alive && this.pinged && now - this.pinged > SILENCE) this.#set(false);
    const due = this.alive ? EVERY / 2 : WHILE_SILENT;
    if ((this.pinged || !this.alive || !this.met || deceived) && now - Math.max(this.heard, this.sent) >= due) this.#ping();
    if (!this.alive) this.#say(false);
  }

  #ping() {
    this.sent = performance.now();
    this.pinged ||= this.sent;
    try {
      this.model.send({ type: "ping" });
    } catch {
      // There is nobody to send it to, which the silence will tell.
    }
  }

  #set(alive) {
    this.alive = alive;
    this.root.toggleAttribute("data-silent", !alive);
    this.node.hidden = alive;
    this.onchange?.();
    if (alive) this.onreturn();
    else this.#say(true);
  }

  #say(turned) {
    const { status, connection, run } = surroundings(this.root);
    let state = "unknown";
    if (status && connection !== "connected") state = "lost";
    else if (/starting/.test(status)) state = "starting";
    else if (/dead|terminating/.test(status)) state = "gone";
    else if (this.severed && status) state = "restarted";
    else if (status === "busy") state = "busy";
    const offers = Boolean(run) && ["gone", "restarted", "unknown"].includes(status ? state : "");
    if (!turned && this.state === `${state}${offers}`) return; // said already
    this.state = `${state}${offers}`;
    const [reason, remedy] = WORDS[state];
    this.words.replaceChildren(h("strong", {}, reason), ` ${offers ? "What you typed stays." : remedy} `);
    this.button.hidden = !offers;
    this.run = run;
  }

  async #startAgain() {
    this.button.disabled = true;
    try {
      await this.run();
    } finally {
      this.button.disabled = false;
    }
  }
}
