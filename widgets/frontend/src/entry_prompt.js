import { confirmInPlace } from "./confirm.js";
import { copyText, h, iconButton, textButton } from "./dom.js";
import { growing, onEnter } from "./field.js";
import { count } from "./numbers.js";
import { branchSwitcher, toolbar } from "./toolbar.js";

/** What the user asked. */
export class Prompt {
  constructor(entry, context) {
    this.id = entry.id;
    this.entry = entry;
    this.context = context;
    this.text = entry.text;
    this.bubble = h("div", { class: "lab-chat-bubble" }, entry.text);
    this.node = h("div", { class: "lab-chat-entry lab-chat-prompt", role: "group", "aria-label": "You" }, this.bubble);
    if (entry.attachments?.length) this.node.append(h("div", { class: "lab-chat-chips" }, ...entry.attachments.map(chip)));
    this.foot = h("div", { class: "lab-chat-foot" });
    this.node.append(this.foot);
    this.hydrated = false;
  }

  hydrate() {
    if (this.hydrated || this.context.readonly) return;
    this.hydrated = true;
    const { context } = this;
    const guarded = (name, label, act) => iconButton(name, label, () => context.whenIdle(act), "lab-chat-quiet lab-chat-guarded");
    const branch = branchSwitcher(this.entry.branch, (step) => context.whenIdle(() => context.send("branch", { id: this.id, step })), (name, label, act) =>
      iconButton(name, label, act, "lab-chat-quiet lab-chat-guarded"),
    );
    const copy = iconButton("copy", "Copy the prompt", async () => context.notify((await copyText(this.text)) ? "The prompt is copied." : "The page may not copy."), "lab-chat-quiet");
    const edit = guarded("edit", "Edit the prompt and ask again", () => this.edit());
    const remove = guarded("remove", "Delete the prompt", () =>
      confirmInPlace(context.question(this.id, "prompt"), "Delete", () => context.send("delete", { id: this.id }), { before: (node) => this.node.append(node) }),
    );
    this.foot.append(toolbar("This prompt", branch, copy, edit, remove));
    // Shown while no answer follows: it was deleted, or never came.
    const answer = () => context.whenIdle(() => context.send("regenerate", { id: this.id }));
    this.foot.append(textButton("Get an answer", answer, "lab-chat-get-answer"));
  }

  /** Change the prompt in place; sending it begins a new branch, and the old one stays. */
  edit() {
    if (this.editor) return;
    const field = h("textarea", { class: "lab-chat-editor-field", "aria-label": "Edited prompt", rows: 1 });
    field.value = this.text;
    const close = () => {
      this.editor.replaceWith(this.bubble);
      this.editor = null;
      this.node.classList.remove("lab-chat-editing");
      this.context.focusComposer();
    };
    const send = () => {
      if (!field.value.trim()) return;
      this.context.whenIdle(() => {
        this.context.send("edit", { id: this.id, text: field.value });
        close();
      });
    };
    onEnter(field, send);
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close();
    });
    const buttons = h("div", { class: "lab-chat-editor-buttons" }, textButton("Cancel", close), textButton("Send", send, "lab-chat-primary"));
    this.editor = h("div", { class: "lab-chat-editor" }, field, buttons);
    this.node.classList.add("lab-chat-editing");
    this.bubble.replaceWith(this.editor);
    growing(field)();
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }
}

function chip({ name, kind, tokens }) {
  const detail = [kind, tokens == null ? "" : `${count(tokens)} tokens`].filter(Boolean).join(", ");
  return h("span", { class: "lab-chat-chip", title: detail }, `@${name}`, h("small", {}, detail));
}
