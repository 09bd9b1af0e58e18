// The talk with Python: events with a number each, requests, and their replies.
import { uniqueId } from "./dom.js";

const RETRY = 1000; // milliseconds between two requests for a replay
const AGAIN = 3000; // milliseconds after which a question about state is asked again
const PATIENCE = 20_000; // milliseconds after which a request counts as unanswered
const QUESTIONS = new Set(["complete", "conversations", "export", "module", "preview"]); // change nothing, so may be asked twice
const SILENT = { ok: false, reason: "The kernel does not answer.", remedy: "It is busy or gone: wait for its cell, or restart it and run the panel's cell." };

export class Channel {
  /**
   * @param {object} model the widget's model
   * @param {Record<string, (event: object) => void>} handlers what to do for each type of event
   * @param {AbortSignal} [signal] ends with the view
   */
  constructor(model, handlers, signal) {
    this.model = model;
    this.handlers = handlers;
    this.seq = null; // number of the last event shown; null until the first replay
    this.replies = new Map();
    this.timer = 0;
    model.on("msg:custom", (event, buffers) => this.#receive(event, buffers));
    signal?.addEventListener("abort", () => this.#close());
  }

  /** Send a message that needs no reply: the events that follow tell what became of it. */
  send(type, fields = {}) {
    this.model.send({ type, ...fields });
  }

  /** Send a request; the promise gives the reply, whose `ok` says whether it was done, and never fails. */
  request(type, fields = {}) {
    const request = uniqueId("request");
    const ask = () => this.model.send({ type, request, ...fields });
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#settle(request, SILENT), PATIENCE);
      const again = QUESTIONS.has(type) ? setInterval(ask, AGAIN) : 0;
      this.replies.set(request, { resolve, timer, again });
      ask();
    });
  }

  /** Ask anew for all that is shown: events may have been lost. */
  refresh() {
    if (this.seq === null) return; // that is being done
    this.seq = null;
    this.synchronise();
  }

  // JupyterLab sends the first messages to the main shell, where they wait behind a running cell; later ones do not.
  // So what is asked for first is asked for again until it is there.
  synchronise() {
    clearTimeout(this.timer);
    if (this.seq !== null) return;
    this.send("replay");
    this.timer = setTimeout(() => this.synchronise(), RETRY);
  }

  #receive(event, buffers) {
    if (event.type === "reply") {
      this.#settle(event.request, { ...event, buffers });
    } else if (event.type === "replay") {
      if (event.seq === this.seq) return; // another view asked for it
      this.seq = event.seq;
      this.handlers.replay(event);
    } else if (this.seq !== null && event.seq === this.seq + 1) {
      this.seq = event.seq;
      this.handlers[event.type]?.(event);
    } else if (this.seq !== null && event.seq > this.seq) {
      this.seq = null;
      this.synchronise();
    }
  }

  #settle(request, reply) {
    const waiting = this.replies.get(request);
    if (!waiting) return; // another view's
    this.replies.delete(request);
    clearTimeout(waiting.timer);
    clearInterval(waiting.again);
    waiting.resolve(reply);
  }

  #close() {
    clearTimeout(this.timer);
    for (const { timer, again } of this.replies.values()) {
      clearTimeout(timer);
      clearInterval(again);
    }
    this.replies.clear();
  }
}
