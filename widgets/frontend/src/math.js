// Entry of math.js, the module that turns TeX into MathML; loaded when a conversation has its first formula.
import font from "@fontsource/noto-sans-math/files/noto-sans-math-latin-400-normal.woff2";
import createDOMPurify from "dompurify";
import temml from "temml/dist/temml.mjs";

const OPTIONS = { trust: false, throwOnError: true, strict: false, maxSize: [20, 200], maxExpand: 300 };
const CONFIG = { USE_PROFILES: { mathMl: true }, FORBID_ATTR: ["href", "xlink:href", "id", "name"], ALLOW_ARIA_ATTR: false, ALLOW_DATA_ATTR: false, RETURN_DOM_FRAGMENT: true };
const STYLE = /^[\w\s:;.,%#()+-]*$/;
const purify = createDOMPurify(window);

// Large signs and tall brackets come from a font with a table for mathematics, which few systems have.
/*! Noto Sans Math 5.3.0, copyright 2022 Google LLC, SIL Open Font License 1.1, https://openfontlicense.org */
if (globalThis.FontFace) {
  const face = new FontFace("GenAI Labs Math", font);
  document.fonts.add(face);
  await face.load().catch(() => {}); // the system's font is readable as well
}

/** Return a formula as a node, or null if its TeX has an error. */
export function formula(tex, display) {
  let markup;
  try {
    markup = temml.renderToString(tex, { ...OPTIONS, displayMode: display });
  } catch {
    return null;
  }
  const fragment = purify.sanitize(markup, CONFIG);
  for (const node of fragment.querySelectorAll("[style]")) {
    const style = node.getAttribute("style");
    if (!STYLE.test(style) || /url|image|position|expression/i.test(style)) node.removeAttribute("style");
  }
  return fragment.firstElementChild;
}
