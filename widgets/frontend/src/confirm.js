import { h, textButton } from "./dom.js";

/** Ask in place before something is lost; the node goes when it is answered. Focus starts on the harmless choice. */
export function confirmInPlace(question, yes, onyes, { before } = {}) {
  const opener = document.activeElement;
  const close = () => {
    node.remove();
    opener?.focus?.();
  };
  const keep = textButton("Keep", close);
  const remove = textButton(yes, () => {
    close();
    onyes();
  }, "lab-chat-danger");
  const node = h("div", { class: "lab-chat-confirm", role: "alertdialog", "aria-label": question }, h("span", {}, question), remove, keep);
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    close();
  });
  before(node);
  keep.focus();
  return node;
}
