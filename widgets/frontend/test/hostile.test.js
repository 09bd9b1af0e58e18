// Hostile answers leave only harmless nodes, however they are cut into pieces. That nothing runs and nothing is fetched
// is seen in a real browser, by tests/browser/test_hostile_answers.py with the same answers.
import { describe, expect, test } from "vitest";
import { Formulas } from "../src/markdown/formulas.js";
import * as math from "../src/math.js";
import PAYLOADS from "./data/hostile.json";
import { findings } from "./harmless.js";
import { viewOf } from "./markdown.js";

function formulas() {
  const made = new Formulas(() => new Promise(() => {}));
  made.module = math;
  return made;
}

const arm = (text, number) => text.replaceAll("HIT", `__hit(${number})`).replaceAll("HOST", `h${number}.evil.example`);

function pieces(text) {
  const size = Math.max(1, Math.ceil(text.length / 9));
  return Array.from({ length: Math.ceil(text.length / size) }, (_, index) => text.slice(index * size, (index + 1) * size));
}

test("there are enough hostile answers, each with a name of its own", () => {
  expect(PAYLOADS.length).toBeGreaterThan(100);
  expect(new Set(PAYLOADS.map(({ name }) => name)).size).toBe(PAYLOADS.length);
});

describe("a hostile answer leaves only harmless nodes", () => {
  test.each(PAYLOADS.map(({ name, text }, number) => [name, arm(text, number)]))("%s", (_, text) => {
    expect(findings(viewOf([text], formulas()).node)).toEqual([]);
    expect(findings(viewOf(pieces(text), formulas()).node)).toEqual([]);
  });
});

test("the check finds what it looks for", () => {
  const bad = document.createElement("div");
  bad.innerHTML = '<p onclick="x" id="a" class="jp-Button" style="a:b">x</p><script></script><a href="javascript:x">y</a><img src="x"><a href="https://a.b/" target="_blank">z</a>';
  expect(findings(bad).length).toBeGreaterThanOrEqual(8);
});
