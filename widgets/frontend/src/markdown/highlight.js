import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import css from "highlight.js/lib/languages/css";
import diff from "highlight.js/lib/languages/diff";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import markdown from "highlight.js/lib/languages/markdown";
import python from "highlight.js/lib/languages/python";
import r from "highlight.js/lib/languages/r";
import rust from "highlight.js/lib/languages/rust";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import xml from "highlight.js/lib/languages/xml";
import yaml from "highlight.js/lib/languages/yaml";

const LANGUAGES = { bash, c, cpp, css, diff, go, java, javascript, json, markdown, python, r, rust, sql, typescript, xml, yaml };
for (const [name, language] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, language);
hljs.registerAliases(["ipython", "python3", "pycon"], { languageName: "python" });
hljs.registerAliases(["console", "shell", "shell-session"], { languageName: "bash" });

const LIMIT = 20_000; // characters; more would hold up the page, and nobody reads so much code in an answer

/** Return the nodes of a code text in colours, or null if the language is unknown or the text too long. */
export function highlighted(text, language) {
  if (!language || text.length > LIMIT || !hljs.getLanguage(language)) return null;
  const { value } = hljs.highlight(text, { language, ignoreIllegals: true });
  // Read in a document of its own, where nothing runs or loads; only texts and classes are taken from it. The element
  // around it keeps blanks at the beginning.
  const { body } = new DOMParser().parseFromString(`<i>${value}</i>`, "text/html");
  const fragment = document.createDocumentFragment();
  copy(body.firstChild, fragment);
  // Some characters (such as NUL) do not survive HTML: what is copied from the panel must be what the model wrote.
  return fragment.textContent === text ? fragment : null;
}

function copy(branch, parent) {
  for (const child of branch.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) {
      parent.append(child.data);
    } else {
      const node = document.createElement("span");
      node.className = `lab-hl-${(child.classList[0] ?? "").replace(/^hljs-/, "").replace(/\W/g, "")}`;
      parent.append(node);
      copy(child, node);
    }
  }
}
