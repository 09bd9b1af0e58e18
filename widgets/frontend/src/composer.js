import { Attachments } from "./attachments.js";
import { Completion } from "./completion.js";
import { h, icon, iconButton } from "./dom.js";
import { readDraft, writeDraft } from "./drafts.js";
import { growing, onEnter } from "./field.js";
import { Preview } from "./preview.js";

const PATIENCE = 3000; // milliseconds after which a silent kernel is worth a word
const USUAL = "Enter sends · Shift+Enter starts a new line";

/** The prompt being written. It leaves the field only when Python has taken it. */
export class Composer {
  /**
   * @param {object} options
   * @param {import("./protocol.js").Channel} options.channel
   * @param {(text: string) => void} [options.notify] tells the reader why a prompt was not sent; not needed where `plain`
   * @param {import("./beside.js").Beside} [options.beside] who answers for variables; not needed where `plain`
   * @param {import("./life.js").Life} options.life
   * @param {() => void} options.oneditlast called when the arrow key asks for the last prompt
   * @param {boolean} [options.plain] without attachments and preview
   */
  constructor({ channel, life, beside, notify, oneditlast = () => {}, plain = false, placeholder = "Write a prompt", canSend = () => true }) {
    this.channel = channel;
    this.life = life;
    this.beside = beside;
    this.notify = notify;
    this.gathering = false; // what goes along with a prompt is being asked for
    this.canSend = canSend;
    this.busy = false;
    this.conversation = "";
    this.asked = null; // prompt that is sent and not yet taken
    this.field = h("textarea", { class: "lab-chat-field-prompt", rows: 1, placeholder, "aria-label": "Prompt" });
    this.button = h("button", { type: "button", class: "lab-chat-send", onclick: () => (this.busy ? channel.send("stop") : this.ask()) });
    this.hint = h("span", { class: "lab-chat-hint" });
    this.fit = growing(this.field);
    const box = h("div", { class: "lab-chat-compose-box" });
    const row = h("div", { class: "lab-chat-compose-row" });
    if (plain) {
      box.append(this.field, row);
    } else {
      this.attachments = new Attachments(() => this.#changed());
      this.completion = new Completion(this.field, beside, (item) => this.attachments.add(item));
      this.preview = new Preview(beside, () => ({ text: this.field.value, attachments: this.attachments.names }));
      box.append(this.completion.node, this.preview.node, this.attachments.node, this.field, row);
      row.append(iconButton("at", "Attach a variable of the notebook", () => this.completion.start(), "lab-chat-quiet"), this.preview.button);
    }
    row.append(this.hint, this.button);
    this.node = h("div", { class: "lab-chat-composer" }, box);
    this.field.addEventListener("input", () => this.#changed());
    onEnter(this.field, () => this.ask());
    this.field.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowUp" || event.defaultPrevented || this.field.value || event.shiftKey || event.altKey) return;
      event.preventDefault();
      oneditlast();
    });
    this.life.onchange = () => this.#draw();
    this.#draw();
  }

  ask() {
    if (this.busy || this.gathering || !this.life.alive || !this.field.value.trim() || !this.canSend()) return;
    this.preview?.close();
    const fields = { text: this.field.value };
    if (this.attachments) fields.attachments = this.attachments.names;
    this.asked = fields.text;
    if (fields.attachments?.length) void this.#sendWith(fields);
    else this.channel.send("ask", fields);
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      this.hint.textContent = "The kernel is busy or gone: the prompt waits until it is free.";
    }, PATIENCE);
  }

  /** Send a prompt with what goes along, which a notebook beside the chat may have to tell first. */
  async #sendWith(fields) {
    this.gathering = true;
    try {
      this.channel.send("ask", await this.beside.resolved(fields));
    } catch (error) {
      clearTimeout(this.waiting);
      this.notify(`The prompt was not sent, because what goes along is not to be had: ${error.message}`);
    } finally {
      this.gathering = false;
    }
  }

  /** Another conversation is shown: keep this one's draft, and bring back that one's. */
  open(conversation) {
    if (conversation === this.conversation) return;
    // What was typed before the first replay belongs to the conversation that it brings.
    const draft = this.conversation || !this.field.value ? readDraft(conversation) : this.field.value;
    this.conversation = conversation;
    this.attachments?.clear();
    this.#write(draft);
  }

  /** Python has taken this prompt. */
  taken(text) {
    if (this.field.value !== text) return; // another view's
    this.asked = null;
    this.attachments?.clear();
    this.#write("");
    writeDraft(this.conversation, "");
  }

  setBusy(busy) {
    this.busy = busy;
    clearTimeout(this.waiting);
    this.#draw();
  }

  /** Put a text into the empty field. */
  suggest(text) {
    this.#write(text);
    this.field.focus();
  }

  focus() {
    this.field.focus();
  }

  destroy() {
    clearTimeout(this.waiting);
    this.preview?.close();
  }

  #write(text) {
    this.field.value = text;
    this.fit();
    clearTimeout(this.waiting);
    this.preview?.changed();
    this.#draw();
  }

  #changed() {
    writeDraft(this.conversation, this.field.value);
    this.preview?.changed();
    this.#draw();
  }

  #draw() {
    const face = this.busy ? "stop" : "send";
    if (this.button.dataset.face !== face) {
      this.button.dataset.face = face;
      this.button.replaceChildren(icon(face), h("span", {}, this.busy ? "Stop" : "Send"));
      this.button.title = this.busy ? "Stop the answer (Esc)" : "Send the prompt (Enter)";
    }
    this.button.disabled = !this.life.alive || (!this.busy && !this.field.value.trim());
    this.hint.textContent = this.busy ? "Esc stops the answer" : USUAL;
  }
}
