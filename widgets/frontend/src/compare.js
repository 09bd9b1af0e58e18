// Entry of compare.js: one prompt, several models side by side, and which answer is the best before their names are shown.
import { Composer } from "./composer.js";
import { h, textButton } from "./dom.js";
import { Answer } from "./entry_answer.js";
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
    state: ({ id, state, place }) => rounds.answers.get(id)?.setState(state, place),
    end({ answer, busy }) {
      rounds.end(answer);
      composer.setBusy(Boolean(busy));
      if (!busy) notes.say("All answers have ended.");
    },
    choice: ({ round, choice }) => rounds.rounds.get(round)?.choose(choice),
  };
  const channel = new Channel(model, events, signal);
  const life = new Life(model, root, signal, () => channel.refresh());
  rounds.context = {
    readonly: true,
    formulas: makeFormulas(channel),
    send: (type, fields) => channel.send(type, fields),
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
      if (!this.rounds.has(entry.round)) this.rounds.set(entry.round, new Round(entry.round, this));
      const answer = this.rounds.get(entry.round).add(entry);
      if (answer) this.answers.set(entry.id, answer);
    }
    this.welcome.hidden = this.rounds.size > 0;
    for (const round of this.rounds.values()) round.draw();
    // Answers are compared from their beginnings on, also while they grow.
    if (this.rounds.size) this.list.scrollTop = [...this.rounds.values()].at(-1).node.offsetTop;
  }

  end(answer) {
    this.answers.get(answer.id)?.end(answer);
    for (const round of this.rounds.values()) if (round.answers.has(answer.id)) round.draw();
  }
}

/** One prompt with its answers; whose they are is hidden until one is chosen. */
class Round {
  constructor(id, rounds) {
    this.id = id;
    this.rounds = rounds;
    this.choice = null; // id of an answer, empty for none; null before the choice
    this.answers = new Map();
    this.prompt = null;
    this.columns = h("div", { class: "lab-compare-columns" });
    this.vote = h("div", { class: "lab-compare-vote" });
    this.node = h("div", { class: "lab-compare-round", role: "group", "aria-label": `Round ${rounds.rounds.size + 1}` }, this.columns, this.vote);
    rounds.list.append(this.node);
  }

  get empty() {
    return !this.prompt && !this.answers.size;
  }

  add(entry) {
    if (entry.role === "user") {
      this.prompt = h("div", { class: "lab-chat-entry lab-chat-prompt", role: "group", "aria-label": "You" }, h("div", { class: "lab-chat-bubble" }, entry.text));
      this.node.prepend(this.prompt);
      this.choice = entry.choice ?? null;
      return null;
    }
    const answer = new Answer(entry, this.rounds.context);
    answer.hydrate();
    answer.body.node.tabIndex = 0; // it scrolls on its own
    const after = this.inOrder.find((other) => other.entry.column > entry.column);
    this.answers.set(entry.id, answer);
    this.columns.insertBefore(answer.node, after?.node ?? null);
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

  choose(choice) {
    this.choice = choice;
    this.draw();
  }

  /** Name the answers, and ask which is the best as soon as all have ended. */
  draw() {
    const answers = this.inOrder;
    const ended = answers.every((answer) => !answer.busy);
    const blind = this.choice === null && (!ended || answers.filter((answer) => answer.text.trim()).length >= FEWEST);
    this.node.toggleAttribute("data-blind", blind);
    const names = answers.map((answer, place) => (blind ? `Answer ${"ABCD"[place]}` : answer.entry.model || "no model"));
    for (const [place, answer] of answers.entries()) {
      answer.node.querySelector(".lab-chat-name").textContent = names[place];
      answer.node.setAttribute("aria-label", blind ? names[place] : `Answer of ${names[place]}`);
      answer.body.node.setAttribute("role", "group");
      answer.body.node.setAttribute("aria-label", `Text of ${names[place]}`);
      answer.node.toggleAttribute("data-chosen", answer.id === this.choice);
    }
    if (blind && ended) this.#ask(answers, names);
    else this.#tell(this.choice && names[answers.findIndex((answer) => answer.id === this.choice)]);
  }

  #ask(answers, names) {
    const question = `Which answer is ${answers.length > 2 ? "the best" : "better"}?`;
    const button = (name, answer) => textButton(name, () => this.rounds.context.send("choose", { round: this.id, answer }));
    this.vote.replaceChildren(
      h("div", { role: "group", "aria-label": question }, h("span", {}, question), ...answers.map((answer, place) => button(names[place], answer.id)), button("No difference", "")),
    );
  }

  #tell(chosen) {
    const focused = this.vote.contains(document.activeElement);
    const words = this.choice === null ? null : h("span", { tabindex: "-1" }, chosen ? `You chose ${chosen}.` : "You saw no difference.");
    this.vote.replaceChildren(...(words ? [words] : []));
    if (focused) words?.focus();
  }

  get inOrder() {
    return [...this.answers.values()].sort((one, other) => one.entry.column - other.entry.column);
  }
}

export default { render };
