// Small helpers to build nodes. Text only ever becomes text nodes: nothing in the panel parses HTML.

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

const ICONS = {
  refresh: ["M20 11a8 8 0 1 0-2.3 6.3", "M20 4v7h-7"],
  settings: ["M4 7h9", "M19 7h1", "M16 7m-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0", "M4 17h1", "M11 17h9", "M8 17m-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0-5 0"],
  clear: ["M4 7h16", "M9 7V4h6v3", "M6 7l1 13h10l1-13", "M10 11v5", "M14 11v5"],
  send: ["M12 20V5", "M5 12l7-7l7 7"],
  stop: ["M7 7h10v10H7z"],
  copy: ["M9 9h11v11H9z", "M15 9V4H4v11h5"],
  warn: ["M12 3L2 20h20z", "M12 10v4", "M12 17v.5"],
};

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
  return h("button", { type: "button", class: `lab-chat-button ${className}`, "aria-label": label, title: label, onclick }, icon(name));
}
