import { describe, expect, test, vi } from "vitest";
import { Formulas } from "../src/markdown/formulas.js";
import * as math from "../src/math.js";
import { MarkdownView } from "../src/markdown/view.js";
import { plainFormulas, viewOf } from "./markdown.js";

const nodeOf = (text) => viewOf([text]).node;

describe("Markdown", () => {
  test("tables keep the alignment of their columns", () => {
    const node = nodeOf("| a | b |\n|:--|--:|\n| 1 | 2 |");
    expect([...node.querySelectorAll("td")].map((cell) => cell.getAttribute("align"))).toEqual(["left", "right"]);
    expect(node.querySelector(".lab-chat-table").getAttribute("role")).toBe("region");
  });

  test("lists nest, and boxes of tasks are marks without a form", () => {
    const node = nodeOf("1. one\n   - inner\n2. two\n\n- [x] done\n- [ ] open");
    expect(node.querySelector("ol ul li").textContent).toBe("inner");
    expect([...node.querySelectorAll(".lab-chat-checkbox")].map((box) => box.getAttribute("aria-label"))).toEqual(["done", "to do"]);
    expect(node.querySelector("input")).toBeNull();
  });

  test("code is coloured by its language and keeps its text", () => {
    const code = "def f():\n    return '<b>'  # note\n";
    const node = nodeOf(`\`\`\`python\n${code}\`\`\``);
    expect(node.querySelector("code").textContent).toBe(code.trimEnd());
    expect(node.querySelector(".lab-hl-keyword").textContent).toBe("def");
    expect(node.querySelector(".lab-chat-code-language").textContent).toBe("python");
  });

  test("code within lists and quotes is a code block too", () => {
    expect(nodeOf("- a\n\n  ```sql\n  SELECT 1\n  ```").querySelector("li .lab-chat-code code").textContent).toBe("SELECT 1");
    expect(nodeOf("> ```\n> x\n> ```").querySelector("blockquote .lab-chat-code code").textContent).toBe("x");
  });

  test.each(["python", "sql", "bash", "json", "yaml", "javascript", "typescript", "html", "xml", "css", "r", "c", "cpp", "java", "go", "rust", "diff", "markdown", "sh", "js", "ts", "py"])(
    "the language %s is known",
    (language) => {
      const samples = { diff: "+ added", markdown: "# head", html: "<b>", xml: "<b>", css: "a { color: red }", json: '{"a": 1}', yaml: "a: 1" };
      expect(nodeOf(`\`\`\`${language}\n${samples[language] ?? 'if "text" 1'}\n\`\`\``).querySelector("[class^=lab-hl-]")).not.toBeNull();
    },
  );

  test("Run is offered where a cell can run it, and Insert everywhere", () => {
    const actions = (language) => [...nodeOf(`\`\`\`${language}\nx\n\`\`\``).querySelectorAll("[data-code]")].map((button) => button.dataset.code);
    expect(actions("python")).toEqual(["run", "insert", "copy"]);
    expect(actions("bash")).toEqual(["run", "insert", "copy"]);
    expect(actions("sql")).toEqual(["insert", "copy"]);
  });

  test("characters that turn the text's direction are shown in code", () => {
    expect(nodeOf("```\na\u202eb\n```").querySelector("code").textContent).toBe("a⟨U+202E⟩b");
  });

  test("links say where they lead and tell nothing of this page", () => {
    const link = nodeOf("[bank](https://xn--bnk-6cd.example/a)").querySelector("a");
    expect([link.target, link.rel, link.title]).toEqual(["_blank", "noopener noreferrer", "https://xn--bnk-6cd.example/a"]);
  });

  test("definitions at the end serve links at the beginning", () => {
    const view = viewOf(["See [this][a].\n\nMore.\n\n", "And more.\n\n[a]: https://a.example/x"]);
    expect(view.node.querySelector("a").href).toBe("https://a.example/x");
  });
});

describe("what a model meant as text", () => {
  const shown = (text) => nodeOf(text).textContent.trim();

  test.each([
    "ssh <user>@<host> -p <port>",
    "Map<String, List<T>> and vector<int>",
    "<MyComponent prop={x}>",
    "a<b and c>d",
    "see <!-- a note --> here",
    "<!-- a note on a line of its own -->",
    "<?php echo 1 ?>",
    "<thinking>",
    "The <b> tag makes text bold.",
    "A </kbd> alone",
    "if x <y then",
    "3~5 minutes and 10~20",
    "<![CDATA[ x ]]>",
  ])("%j is shown whole", (text) => {
    expect(shown(text)).toBe(text);
  });

  test("a block that begins with a placeholder is Markdown", () => {
    const node = nodeOf("<answer>\n**yes**\n</answer>");
    expect(node.querySelector("strong").textContent).toBe("yes");
    expect(node.textContent).toContain("<answer>");
  });

  test.each([
    ["Press <kbd>Ctrl</kbd> and x<sub>2</sub>", "kbd, sub", 2],
    ["| a |\n|---|\n| x<br>y |", "td br", 1],
    ["<details><summary>More</summary>text</details>", "details summary", 1],
    ["~~gone~~", "del", 1],
    ["\u6ce8\u610f**\u6ce8\u610f\uff08\u91cd\u8981\uff09**\u3067\u3059\u3002", "strong", 1],
    ["**\u300c\u5f15\u7528\u300d**\u306f", "strong", 1],
    ["Roses are red,\nviolets are blue", "br", 1],
  ])("%j is markup", (text, selector, count) => {
    expect(nodeOf(text).querySelectorAll(selector).length).toBe(count);
    expect(shown(text)).not.toMatch(/[<*~]/);
  });

  test("code within a line keeps what it says", () => {
    expect(nodeOf("<code>a < b && c</code> and `<b>`").textContent.trim()).toBe("a < b && c and <b>");
  });
});

describe("formulas", () => {
  const drawn = (text) => {
    const formulas = plainFormulas();
    formulas.module = math;
    return viewOf([text], formulas).node;
  };

  test.each([
    ["$a^2$", 1],
    ["x $a_1 + b_2$ y *z*", 1],
    ["\\(a\\) and \\(b\\)", 2],
    ["$$\na\n$$", 1],
    ["\\[a\\]", 1],
    ["text\n\\[\na\n\\]\ntext", 1],
    ["inline $$a$$ here", 1],
    ["| $a$ | b |\n|---|---|\n| $c$ | d |", 2],
    ["1. $a$\n2. $b$", 2],
    ["| $|x|$ | b |\n|---|---|\n| $|c|$ | $P(A|B)$ |", 3],
    ["$a * b$ and $c * d$", 2],
    ["$$\n\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}\n$$", 1],
    ["costs $5 and $6", 0],
    ["$5-$6, US$7, A$8", 0],
    ["between $ 5 and 6 $", 0],
    ["$HOME/bin:$PATH", 0],
    ["`$a$` and `\\(b\\)`", 0],
    ["```\n$$a$$\n```", 0],
    ["\\$a\\$", 0],
    ["$$ not closed", 0],
    ["$a\n\nb$", 0],
  ])("%j has %i", (text, count) => {
    expect(drawn(text).querySelectorAll("math").length).toBe(count);
  });

  test("a formula with an error shows its source", () => {
    expect(drawn("$\\frac{$ x").textContent).toContain("$\\frac{$");
    expect(drawn("$\\nosuch{x}$").querySelector("code, math").textContent).toContain("nosuch");
  });

  test("displayed formulas are blocks", () => {
    expect(drawn("$$a$$").querySelector("math").getAttribute("display")).toBe("block");
    expect(drawn("$a$").querySelector("math").getAttribute("display")).not.toBe("block");
  });

  test("formulas wait for their module and are drawn when it comes", async () => {
    const module = Promise.resolve(math);
    const { node } = viewOf(["$a$ and $b$"], new Formulas(() => module));
    expect(node.querySelector("code").textContent).toBe("$a$");
    await module;
    await module; // the formulas' own turn comes after
    expect(node.querySelectorAll("math").length).toBe(2);
  });
});

describe("a growing answer", () => {
  test("frozen blocks keep their nodes", () => {
    const view = new MarkdownView({ formulas: plainFormulas() });
    view.write("# One\n\nTwo *b*\n\n- c\n");
    view.finish();
    view.write("\nThree\n\nFour\n\n");
    view.finish();
    const nodes = [...view.node.querySelectorAll("h1, em, li")];
    view.write("Five\n\n```js\nlet six;\n```\n");
    view.end();
    view.finish();
    expect(nodes.every((node) => view.node.contains(node))).toBe(true);
  });

  test("the text node of an open code block grows", () => {
    const view = new MarkdownView({ formulas: plainFormulas() });
    view.write("```python\nx = 1\n");
    view.finish();
    view.write("y = 2\n");
    view.finish();
    const text = view.node.querySelector("code").firstChild;
    view.write("z = 3\n``");
    view.finish();
    expect(view.node.querySelector("code").firstChild).toBe(text);
    expect(text.data).toBe("x = 1\ny = 2\nz = 3");
  });

  test("the first words are there before anything else happens", () => {
    const view = new MarkdownView({ formulas: plainFormulas() });
    view.write("Hello");
    expect(view.node.textContent).toMatch(/^Hello\s*$/);
  });

  test("on a slow machine too, the last words are there with the end", () => {
    let now = 0;
    const clock = vi.spyOn(performance, "now").mockImplementation(() => (now += 50));
    const view = new MarkdownView({ formulas: plainFormulas() });
    for (const words of ["Hello", " there!", " How can I", " help you?"]) view.write(words);
    view.end();
    clock.mockRestore();
    expect(view.node.textContent.trim()).toBe("Hello there! How can I help you?");
  });
});
