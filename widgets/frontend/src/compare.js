// Entry of compare.js: one prompt, several models side by side.
import { Composer } from "./composer.js";
import { h } from "./dom.js";
import { Answer } from "./entry_answer.js";
import { Follower } from "./follower.js";
import { makeRefresh, makeStatus } from "./header.js";
import { Life } from "./life.js";
import { forbidPrefetch } from "./markdown/sanitize.js";
import { makeFormulas, makeNotes, makeRoot, serveContent } from "./panel.js";
import { Channel } from "./protocol.js";
import { makeSettings } from "./settings.js";
import { bind, set } from "./traits.js";

const FEWEST = 2;
const MOST = 4;

function render({ model, el, signal }) {
  forbidPrefetch();
  const root = makeRoot("Compare models", "lab-compare");
  const notes = makeNotes();
  const { node: status, banner } = makeStatus(model);
  const { box: settings, button: settingsButton } = makeSettings(model, (type, fields) => channel.send(type, fields));
  const rounds = new RoundList();
  const events = {
    replay({ entries, busy }) {
      rounds.keep(0, entries);
      const last = entries.findLast((entry) => entry.role === "user");
      if (last && last.text === composer.asked) composer.taken(last.text);
      composer.setBusy(Boolean(busy));
    },
    path({ keep, entries, busy }) {
      rounds.keep(keep, entries);
      const asked = entries.find((entry) => entry.role === "user");
      if (asked) composer.taken(asked.text);
      composer.setBusy(Boolean(busy));
      if (busy) notes.say("The models are answering.");
    },
    delta: ({ id, text }) => rounds.answers.get(id)?.add(text),
    state: ({ id, state }) => rounds.answers.get(id)?.setState(state),
    end({ answer, busy }) {
      rounds.answers.get(answer.id)?.end(answer);
      composer.setBusy(Boolean(busy));
      if (!busy) notes.say("All answers have ended.");
    },
  };
  const channel = new Channel(model, events, signal);
  const life = new Life(model, root, signal, () => channel.refresh());
  rounds.context = {
    readonly: true,
    formulas: makeFormulas(channel),
    send: () => {},
    notify: notes.show,
  };
  const enough = () => {
    if (model.get("chosen").length >= FEWEST) return true;
    notes.show(`Choose at least ${FEWEST} models at the top.`);
    return false;
  };
  const composer = new Composer({ channel, life, plain: true, placeholder: "One prompt for all chosen models", canSend: enough });
  composer.open("compare");
  const heading = h("div", { class: "lab-chat-heading" }, h("div", { class: "lab-chat-title" }, "Compare models"), status);
  const header = h("div", { class: "lab-chat-header" }, heading, makeRefresh(channel), settingsButton);
  root.append(header, banner, makeChoice(model), settings, rounds.node, notes.node, life.node, composer.node);
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && composer.busy) channel.send("stop");
  });
  serveContent(root, notes);
  el.replaceChildren(root);
  signal?.addEventListener("abort", () => composer.destroy());
  channel.synchronise();
}

/** The models to compare: two to four. */
function makeChoice(model) {
  const node = h("div", { class: "lab-compare-choice", role: "group", "aria-label": "Models to compare" });
  const show = () => {
    const chosen = model.get("chosen") ?? [];
    const names = [...new Set([...model.get("models"), ...chosen])];
    const focused = node.contains(document.activeElement) ? document.activeElement.value : null;
    const items = names.map((name) => {
      const box = h("input", { type: "checkbox", value: name, checked: chosen.includes(name) });
      box.disabled = !box.checked && chosen.length >= MOST;
      box.addEventListener("change", () => set(model, "chosen", box.checked ? [...chosen, name] : chosen.filter((other) => other !== name)));
      return h("label", { class: "lab-compare-model" }, box, h("span", {}, name));
    });
    node.replaceChildren(...items);
    if (focused !== null) [...node.querySelectorAll("input")].find((box) => box.value === focused)?.focus();
  };
  model.on("change:models", show);
  bind(model, "chosen", show);
  return node;
}

class RoundList {
  constructor() {
    this.entries = []; // as Python counts them: {id, round}
    this.rounds = new Map();
    this.answers = new Map();
    this.list = h("div", { class: "lab-chat-log", role: "log", "aria-live": "off", "aria-label": "Rounds", tabindex: "0" });
    this.welcome = h("div", { class: "lab-chat-empty" }, h("strong", {}, "Which model answers best?"), h("p", {}, "Choose two to four models and send one prompt to all of them."));
    this.node = h("div", { class: "lab-chat-middle" }, this.list);
    this.list.append(this.welcome);
    this.follower = new Follower(this.list);
  }

  /** Keep the first `count` entries, and show these after them. */
  keep(count, entries) {
    for (const { id, round } of this.entries.splice(count)) {
      this.answers.delete(id);
      this.rounds.get(round)?.remove(id);
      if (this.rounds.get(round)?.empty) this.rounds.delete(round);
    }
    for (const entry of entries) {
      this.entries.push({ id: entry.id, round: entry.round });
      if (!this.rounds.has(entry.round)) this.rounds.set(entry.round, new Round(this));
      const answer = this.rounds.get(entry.round).add(entry);
      if (answer) this.answers.set(entry.id, answer);
    }
    this.welcome.hidden = this.rounds.size > 0;
    this.follower.toEnd();
  }
}

/** One prompt with its answers. */
class Round {
  constructor(rounds) {
    this.rounds = rounds;
    this.answers = new Map();
    this.prompt = null;
    this.columns = h("div", { class: "lab-compare-columns" });
    this.node = h("div", { class: "lab-compare-round", role: "group", "aria-label": `Round ${rounds.rounds.size + 1}` }, this.columns);
    rounds.list.append(this.node);
    rounds.follower.watch(this.node);
  }

  get empty() {
    return !this.prompt && !this.answers.size;
  }

  add(entry) {
    if (entry.role === "user") {
      this.prompt = h("div", { class: "lab-chat-entry lab-chat-prompt", role: "group", "aria-label": "You" }, h("div", { class: "lab-chat-bubble" }, entry.text));
      this.node.prepend(this.prompt);
      return null;
    }
    const answer = new Answer(entry, this.rounds.context);
    answer.hydrate();
    answer.node.style.order = entry.column;
    this.answers.set(entry.id, answer);
    this.columns.append(answer.node);
    this.columns.style.setProperty("--columns", this.answers.size);
    return answer;
  }

  remove(id) {
    const answer = this.answers.get(id);
    if (answer) answer.node.remove();
    else this.prompt = null;
    this.answers.delete(id);
    this.columns.style.setProperty("--columns", this.answers.size);
    if (this.empty) this.node.remove();
  }
}

export default { render };
