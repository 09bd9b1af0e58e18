import { expect, test } from "vitest";
import { makeModelSelect } from "../src/header.js";
import { choice } from "../src/models.js";

test.each([
  [{ size: "1.5B", context: 32768, about: "code", tools: true }, "m — 1.5B · 32k · code, tools"],
  [{ size: "135M", context: 4096, about: "tiny, for tests", tools: false }, "m — 135M · 4k · tiny, for tests"],
  [{ context: 1000, tools: null }, "m — 1000"],
  [{ tools: true }, "m — tools"],
  [{ size: null, context: null, about: null, tools: null }, "m"],
  [undefined, "m"],
])("a model is listed with what is known of it: %j", (known, words) => {
  expect(choice("m", known)).toBe(words);
});

function traits(values) {
  const heard = {};
  return {
    get: (name) => values[name],
    set: (name, value) => {
      values[name] = value;
      for (const listener of heard[`change:${name}`] ?? []) listener();
    },
    save_changes: () => {},
    on: (names, listener) => {
      for (const name of names.split(" ")) (heard[name] ??= []).push(listener);
    },
    off: () => {},
  };
}

test("the drop-down shows and says what the models are, and sends their names", () => {
  const model = traits({ model: "coder", models: ["coder", "small"], abilities: {} });
  const select = makeModelSelect(model);
  model.set("abilities", { coder: { size: "1.5B", context: 8192, about: "code", tools: true }, small: { about: "tiny, for tests", tools: false } });
  expect([...select.options].map((option) => option.text)).toEqual(["coder — 1.5B · 8k · code, tools", "small — tiny, for tests"]);
  expect(select.value).toBe("coder");
  expect(select.title).toBe("8,192 tokens of context · calls tools");
  select.value = "small";
  select.dispatchEvent(new Event("change"));
  expect(model.get("model")).toBe("small");
  expect(select.title).toBe("cannot call tools");
});
