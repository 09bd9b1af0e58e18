// Small helpers to build nodes. Text only ever becomes text nodes.
import { ICONS } from "./icons.js";

/** Make an element. Properties that start with "on" are listeners; null and undefined children are left out. */
export function h(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

/** Make an icon; it is decoration, the control that holds it carries the label. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "lab-chat-icon");
  for (const d of ICONS[name]) {
    const path = document.createElementNS(space, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/** Make a button with an icon; `label` is read out and shown as a tooltip. */
export function iconButton(name, label, onclick, className = "") {
  const properties = { type: "button", class: `lab-chat-button ${className}`.trim(), "aria-label": label, title: label };
  return h("button", onclick ? { ...properties, onclick } : properties, icon(name));
}

/** Make a button with words on it. */
export function textButton(words, onclick, className = "", properties = {}) {
  return h("button", { type: "button", class: `lab-chat-action ${className}`.trim(), onclick, ...properties }, words);
}

let identities = 0;

/** Return an id for labels and controls that is used nowhere else on the page. */
export const uniqueId = (stem) => `lab-chat-${stem}-${(identities += 1)}-${Math.random().toString(36).slice(2, 8)}`;

/** Copy text; where the page may not use the clipboard, by way of a selection. Returns whether it worked. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "lab-chat-unseen", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

/** Offer a text as a download. */
export function download(name, mime, text) {
  const url = URL.createObjectURL(new Blob([text], { type: mime }));
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
