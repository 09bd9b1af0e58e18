// Looks at what became of an answer: everything that must not be there, as a list of words.

const OURS = "DIV SPAN BUTTON PRE CODE svg path".split(" ");
const TEXT = (
  "A ABBR B BLOCKQUOTE BR CAPTION CODE DD DEL DETAILS DL DT EM H1 H2 H3 H4 H5 H6 HR I INS KBD LI MARK OL P PRE Q S SAMP SMALL SPAN STRIKE STRONG SUB " +
  "SUMMARY SUP TABLE TBODY TD TFOOT TH THEAD TR U UL VAR"
).split(" ");
const PLAIN = ["href", "target", "rel", "title", "align", "colspan", "rowspan", "start", "open"];
const OWN = ["class", "type", "role", "aria-label", "aria-hidden", "tabindex", "title", "viewBox", "d", "data-code", "data-image", "data-language", "data-tex", "data-checked", "data-usual", "data-said"];

/** Return the offences in the nodes below `root`. */
export function findings(root) {
  return [...root.querySelectorAll("*")].flatMap((node) => (node.closest("math") ? inFormula(node) : inText(node)));
}

function inText(node) {
  const found = [];
  const own = /^lab-(chat|hl)-/.test(node.getAttribute("class") ?? "") || Boolean(node.closest(".lab-chat-code, .lab-chat-image, svg.lab-chat-icon"));
  if (!TEXT.includes(node.tagName) && !OURS.includes(node.tagName)) found.push(`element ${node.tagName}`);
  if (["DIV", "BUTTON", "svg", "path"].includes(node.tagName) && !own && node.attributes.length) found.push(`foreign ${node.tagName}`);
  for (const { name, value } of node.attributes) {
    if (!PLAIN.includes(name) && !(OWN.includes(name) && (own || node.parentElement.closest(".lab-chat-code, .lab-chat-image")))) found.push(`attribute ${name}="${value}" of ${node.tagName}`);
    if (name === "class" && value.split(" ").some((part) => !/^lab-(chat|hl)-[\w-]+$/.test(part))) found.push(`class ${value}`);
    if (name === "href" && !/^(https?:\/\/[^/@]*(\/|$)|mailto:)/.test(value)) found.push(`address ${value}`);
    if (name === "href" && value.startsWith(`${location.origin}/`)) found.push(`address of this server ${value}`);
    if (name === "target" && (value !== "_blank" || node.rel !== "noopener noreferrer")) found.push(`target ${value} rel ${node.rel}`);
    if (name === "data-image" && !/^https?:\/\//.test(value)) found.push(`image ${value}`);
  }
  return found;
}

function inFormula(node) {
  const found = [];
  if (node.namespaceURI !== "http://www.w3.org/1998/Math/MathML") found.push(`element ${node.tagName} in a formula`);
  for (const { name, value } of node.attributes) {
    if (/^(on|src|href|xlink|id|name|data-|aria-|role)/i.test(name)) found.push(`attribute ${name} in a formula`);
    if (name === "style" && /url|image|position|expression|@|\\/i.test(value)) found.push(`style ${value} in a formula`);
    if (name === "class" && /jp-|lm-/.test(value)) found.push(`class ${value} in a formula`);
  }
  return found;
}
