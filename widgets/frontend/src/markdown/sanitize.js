// What a model writes is hostile until shown otherwise. Only the tags and attributes listed here get through; links lead
// to other hosts by http, https or mail; nothing is fetched without a click.
import createDOMPurify from "dompurify";

export const TAGS = (
  "a abbr b blockquote br caption code dd del details dl dt em h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s " +
  "samp small span strike strong sub summary sup table tbody td tfoot th thead tr u ul var"
).split(" ");
// No class, id, name, style, title, role or aria-*: an answer can neither dress up as a part of the page nor shadow one.
const ATTRIBUTES = ["href", "src", "alt", "align", "colspan", "rowspan", "start", "open", "data-slot", "data-src"];
const CONFIG = {
  ALLOWED_TAGS: TAGS,
  ALLOWED_ATTR: ATTRIBUTES,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  ADD_URI_SAFE_ATTR: ["align", "colspan", "rowspan", "start", "open", "data-slot", "data-src"],
  FORBID_CONTENTS: ["form", "select", "button", "textarea", "option", "object", "embed", "applet", "frameset"],
  RETURN_DOM_FRAGMENT: true,
};

/** Return the address if a link may lead there, else null. */
export function safeLink(href) {
  const url = parse(href);
  if (!url || url.username || url.password) return null; // https://bank.example@evil.example
  if (url.protocol === "mailto:") return url.href;
  const web = url.protocol === "http:" || url.protocol === "https:";
  // A link into the page's own server would act with the reader's rights there.
  return web && url.origin !== location.origin ? url.href : null;
}

/** Return the address of a remote image if it may be offered, else null. */
export function safeImage(source) {
  const url = parse(source);
  return url && /^https?:$/.test(url.protocol) && safeLink(source) ? url : null;
}

function parse(text) {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

const purify = createDOMPurify(window);

purify.addHook("beforeSanitizeAttributes", (node) => {
  if (node.nodeName !== "IMG") return;
  // Without a source an image can never load, wherever it is put.
  if (node.hasAttribute("src")) node.setAttribute("data-src", node.getAttribute("src"));
  for (const name of ["src", "srcset"]) node.removeAttribute(name);
});

purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName !== "A" || !node.hasAttribute("href")) return;
  const address = safeLink(node.getAttribute("href"));
  if (!address) {
    node.removeAttribute("href");
    return;
  }
  node.setAttribute("href", address);
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer");
  // Where a link leads should never be a surprise, whatever its words say.
  node.setAttribute("title", address.length > 200 ? `${address.slice(0, 200)}…` : address);
});

/** Return harmless nodes made from HTML; they were never part of the page before. */
export function sanitize(html) {
  // A letter in front: after it no frameset can take the place of the body.
  const fragment = purify.sanitize(`.${html}`, CONFIG);
  const first = fragment.firstChild;
  first.deleteData(0, 1);
  if (!first.data) first.remove();
  return fragment;
}

/** Keep the browser from looking up the names of hosts in links before anybody clicks: a name can carry data out. */
export function forbidPrefetch() {
  if (document.head.querySelector("meta[http-equiv='x-dns-prefetch-control']")) return;
  const meta = document.createElement("meta");
  meta.httpEquiv = "x-dns-prefetch-control";
  meta.content = "off";
  document.head.append(meta);
}
