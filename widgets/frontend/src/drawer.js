// The list of kept conversations, in a drawer over the panel.
import { confirmInPlace } from "./confirm.js";
import { download, h, icon, iconButton, textButton } from "./dom.js";
import { ago } from "./numbers.js";

const FORMATS = { markdown: "Markdown", notebook: "Notebook", json: "JSON" };
const PAUSE = 200; // milliseconds without typing before the search

export class Drawer {
  constructor(channel, notify) {
    this.channel = channel;
    this.notify = notify;
    this.turn = 0;
    this.button = iconButton("menu", "Conversations", () => this.toggle());
    this.button.setAttribute("aria-expanded", "false");
    this.search = h("input", { type: "search", placeholder: "Search titles and texts", "aria-label": "Search conversations" });
    this.search.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.#list(), PAUSE);
    });
    this.list = h("ul", { class: "lab-chat-conversations", "aria-label": "Conversations" });
    this.note = h("p", { class: "lab-chat-drawer-note", role: "status" });
    this.file = h("input", { type: "file", accept: ".json,application/json", class: "lab-chat-unseen", tabindex: "-1", "aria-label": "File to import" });
    this.file.addEventListener("change", () => this.#import());
    const head = h("div", { class: "lab-chat-drawer-head" }, h("strong", {}, "Conversations"), iconButton("import", "Import a conversation", () => this.file.click()), iconButton("close", "Close the list", () => this.close()));
    const begin = h("button", { type: "button", class: "lab-chat-begin", onclick: () => this.begin() }, icon("compose"), "New conversation");
    const box = h("nav", { class: "lab-chat-drawer-box", "aria-label": "Conversations" }, head, begin, h("div", { class: "lab-chat-search" }, icon("search"), this.search), this.note, this.list, this.file);
    this.node = h("div", { class: "lab-chat-drawer", hidden: true }, box, h("div", { class: "lab-chat-shade", onclick: () => this.close() }));
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
    });
  }

  toggle() {
    if (this.node.hidden) this.#open();
    else this.close();
  }

  #open() {
    this.node.hidden = false;
    this.button.setAttribute("aria-expanded", "true");
    this.search.focus();
    this.#list();
  }

  close() {
    if (this.node.hidden) return;
    this.node.hidden = true;
    this.button.setAttribute("aria-expanded", "false");
    this.button.focus();
  }

  /** Begin a new conversation. */
  async begin() {
    if (await this.#do("new")) this.close();
  }

  /** Send a request; say what went wrong; return the reply or null. */
  async #do(type, fields) {
    const reply = await this.channel.request(type, fields);
    this.note.textContent = reply.ok ? "" : `${reply.reason} ${reply.remedy}`;
    if (!reply.ok) this.notify(this.note.textContent);
    return reply.ok ? reply : null;
  }

  async #openConversation(id) {
    const reply = await this.#do("open", { id });
    if (reply?.note) this.notify(reply.note);
    return reply;
  }

  async #list() {
    this.turn += 1;
    const { turn } = this;
    const query = this.search.value.trim();
    const reply = await this.#do("conversations", { query });
    if (!reply || turn !== this.turn) return;
    this.#show(reply.items, reply.current);
    if (reply.total > reply.items.length) this.note.textContent = `${reply.items.length} of ${reply.total} are listed: search to find more.`;
    if (!reply.items.length) this.note.textContent = query ? "Nothing found." : "No conversation is kept yet.";
  }

  // A row with an open form stays as it is: a reply that comes late takes nothing away that is being typed.
  #show(items, current) {
    const open = new Map([...this.list.querySelectorAll("li:has(.lab-chat-confirm)")].map((row) => [row.dataset.id, row]));
    const focused = document.activeElement;
    this.list.replaceChildren(...items.map((item) => open.get(item.id) ?? this.#item(item, item.id === current)));
    if (this.list.contains(focused)) focused.focus();
  }

  #item(item, current) {
    const title = item.title || "Untitled";
    const open = h("button", { type: "button", class: "lab-chat-conversation", "aria-current": current ? "true" : null });
    open.append(h("span", { class: "lab-chat-conversation-title" }, title));
    if (item.snippet) open.append(h("span", { class: "lab-chat-conversation-snippet" }, item.snippet));
    open.append(h("small", {}, `${ago(item.updated)} · ${item.entries} ${item.entries === 1 ? "entry" : "entries"}`));
    open.addEventListener("click", async () => {
      if (current || (await this.#openConversation(item.id))) this.close();
    });
    const row = h("li", { "data-id": item.id }, open);
    if (item.problem) {
      open.disabled = true;
      open.append(h("span", { class: "lab-chat-conversation-problem" }, item.problem));
    }
    const tools = h("div", { class: "lab-chat-conversation-tools" });
    if (item.problem) return row;
    const remove = async () => {
      if (await this.#do("remove", { id: item.id })) this.#list();
    };
    tools.append(
      iconButton("edit", `Rename ${title}`, () => this.#rename(item, row), "lab-chat-quiet"),
      iconButton("export", `Export ${title}`, () => this.#formats(item, row), "lab-chat-quiet"),
      iconButton("remove", `Remove ${title}`, () => confirmInPlace(`Remove “${title}” for good?`, "Remove", remove, { before: (node) => this.#putForm(row, node) }), "lab-chat-quiet"),
    );
    row.append(tools);
    return row;
  }

  /** Open a form below a row; any other goes. */
  #putForm(row, form) {
    for (const other of this.list.querySelectorAll(".lab-chat-confirm")) other.remove();
    row.append(form);
  }

  /** Make a form that Escape closes; then the focus is where it was. */
  #makeForm(properties, ...parts) {
    const opener = document.activeElement;
    const form = h("div", { class: "lab-chat-confirm", ...properties }, ...parts);
    const close = () => {
      form.remove();
      opener?.focus?.();
    };
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close();
    });
    return { form, close };
  }

  #rename(item, row) {
    const field = h("input", { type: "text", "aria-label": "New title", maxlength: 200 });
    field.value = item.title;
    const { form, close } = this.#makeForm({}, field, textButton("Rename", () => save(), "lab-chat-primary"), textButton("Cancel", () => close()));
    const save = async () => {
      const title = field.value.trim();
      if (!title || !(await this.#do("rename", { id: item.id, title }))) return;
      form.remove();
      this.#list();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.stopPropagation();
      event.preventDefault();
      save();
    });
    this.#putForm(row, form);
    field.select();
    field.focus();
  }

  #formats(item, row) {
    const shown = row.querySelector("[data-what='export']");
    if (shown) {
      shown.remove();
      return;
    }
    const buttons = Object.entries(FORMATS).map(([format, words]) => textButton(words, () => this.#export(item.id, format)));
    this.#putForm(row, this.#makeForm({ "data-what": "export", role: "group", "aria-label": "Export as" }, ...buttons).form);
    buttons[0].focus();
  }

  async #export(id, format) {
    const reply = await this.#do("export", { id, format });
    if (!reply) return;
    download(reply.name, reply.mime, reply.text);
    this.notify(`${reply.name} is saved with your downloads.`);
  }

  async #import() {
    const [file] = this.file.files;
    this.file.value = "";
    if (!file) return;
    const reply = await this.#do("import", { name: file.name, text: await file.text() });
    if (reply && (await this.#openConversation(reply.id))) this.close();
  }
}
