// Entry of chat.js: the panel's layout, and what becomes of Python's events.
import { Beside } from "./beside.js";
import { Composer } from "./composer.js";
import { h, iconButton } from "./dom.js";
import { Drawer } from "./drawer.js";
import { makeMeters, makeModelSelect, makeRefresh, makeSaving, makeStatus } from "./header.js";
import { Life, surroundings } from "./life.js";
import { Log } from "./log.js";
import { keepShown, lastShown } from "./drafts.js";
import { delayed } from "./entry_answer.js";
import { forbidPrefetch } from "./markdown/sanitize.js";
import { makeFormulas, makeNotes, makeRoot, serveContent } from "./panel.js";
import { Channel } from "./protocol.js";
import { makeSettings } from "./settings.js";

const ENDINGS = { done: "The answer is complete.", stopped: "The answer is stopped.", cut: "The answer is cut.", failed: "There is no answer." };
const IDEAS = ["Explain in three sentences what a virtual environment in Python is for.", "Write a Python function that reads a CSV file and plots its columns."];

function render({ model, el, signal }) {
  forbidPrefetch();
  const root = makeRoot("Chat");
  const notes = makeNotes();
  const title = h("div", { class: "lab-chat-title" });
  const { node: status, banner } = makeStatus(model);
  const saving = makeSaving(model);
  const { box: settings, button: settingsButton } = makeSettings(model, (type, fields) => channel.send(type, fields), (type) => channel.request(type));

  const events = {
    replay({ conversation, entries, busy }) {
      log.show(entries);
      name(conversation);
      composer.open(conversation?.id ?? "");
      goOn(conversation, entries);
      // The event that took a prompt may be among those that were lost.
      const last = entries.findLast((entry) => entry.role === "user");
      if (last && last.text === composer.asked) composer.taken(last.text);
      setBusy(busy);
    },
    path({ keep, entries, conversation, busy }) {
      log.keep(keep, entries);
      if (conversation) {
        name(conversation);
        composer.open(conversation.id);
        remember(conversation.id);
      }
      const asked = entries.find((entry) => entry.role === "user");
      if (asked) composer.taken(asked.text);
      setBusy(busy);
      if (busy) notes.say(`${entries.at(-1)?.model ?? "The model"} is answering.`);
    },
    delta: ({ id, text }) => log.add(id, text),
    state({ id, state, place }) {
      log.state(id, state, place);
      if (delayed(state, place)) notes.say(delayed(state, place));
    },
    call({ id, call, state }) {
      log.call(id, call, state);
      if (call.state === "asking") notes.say(`The model wants to run ${call.name}: allow or deny it.`);
    },
    end({ answer, busy }) {
      log.end(answer);
      setBusy(busy);
      if (!busy) notes.say(answer.reason ? `${answer.reason} ${answer.remedy ?? ""}` : ENDINGS[answer.state]);
    },
    title: ({ conversation }) => name(conversation),
  };
  const channel = new Channel(model, events, signal);
  const life = new Life(model, root, signal, () => channel.refresh());

  // A cell that runs again goes on with its conversation, also after the kernel was restarted.
  let place;
  const goOn = (conversation, entries) => {
    const first = place === undefined;
    place ??= surroundings(root).place ?? "";
    const last = first && !entries.length && lastShown(place);
    if (last && last !== conversation.id) channel.request("continue", { id: last });
    else remember(conversation.id);
  };
  const remember = (conversation) => keepShown(place, conversation);

  const context = {
    formulas: makeFormulas(channel),
    send: (type, fields) => channel.send(type, fields),
    notify: notes.show,
    whenIdle: (act) => (composer.busy ? notes.show("An answer is on its way: wait for it or stop it.") : act()),
    focusComposer: () => composer.focus(),
  };
  const log = new Log(context, makeWelcome((idea) => composer.suggest(idea)));
  const composer = new Composer({ channel, life, notify: notes.show, beside: new Beside(channel, root, () => model.get("abilities")?.[model.get("model")]?.context), oneditlast: () => context.whenIdle(() => log.lastPrompt?.edit()) });
  const drawer = new Drawer(channel, notes.show);
  const begin = iconButton("compose", "New conversation", () => drawer.begin());

  const name = (conversation) => {
    title.textContent = conversation?.title || "New conversation";
    title.title = title.textContent;
  };
  const setBusy = (busy) => {
    composer.setBusy(Boolean(busy));
    root.toggleAttribute("data-busy", Boolean(busy));
    // They stay in reach and say why they do nothing now.
    for (const button of root.querySelectorAll(".lab-chat-guarded")) button.setAttribute("aria-disabled", String(Boolean(busy)));
  };
  name(null);

  const header = h("div", { class: "lab-chat-header" }, drawer.button, h("div", { class: "lab-chat-heading" }, title, status), makeModelSelect(model), makeRefresh(channel), settingsButton, begin);
  root.append(header, banner, saving, settings, log.node, notes.node, life.node, composer.node, drawer.node);
  composer.node.append(makeMeters(model));
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && composer.busy) channel.send("stop");
  });
  serveContent(root, notes);
  el.replaceChildren(root);
  signal?.addEventListener("abort", () => composer.destroy());
  channel.synchronise();
}

function makeWelcome(suggest) {
  const ideas = IDEAS.map((idea) => h("button", { type: "button", class: "lab-chat-idea", onclick: () => suggest(idea) }, idea));
  return h("div", { class: "lab-chat-empty" }, h("strong", {}, "What would you like to know?"), h("p", {}, "Type ", h("kbd", {}, "@"), " to attach a variable of this notebook."), h("div", { class: "lab-chat-ideas" }, ...ideas));
}

export default { render };
