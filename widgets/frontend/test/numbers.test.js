import { expect, test } from "vitest";
import { ago, count, describe as figures, money } from "../src/numbers.js";
import { FORMAT } from "../src/usage/format.js";
// Amounts and how they are written everywhere; the tests of Python read them, too.
import MONEY from "./data/money.json";

test("counts are short, and exact while they are small", () => {
  expect([0, 999, 1240, 12_345, 250_000].map(count)).toEqual(["0", "999", "1,240", "12.3k", "250k"]);
});

test("money never has an exponent and keeps what matters of tiny sums", () => {
  for (const [dollars, words] of MONEY) expect([money(dollars), FORMAT.money(dollars)]).toEqual([`$${words}`, `$${words}`]);
});

test("only the figures that are known are shown", () => {
  const shown = (given) => figures(given).map(({ label, value }) => [label, value].filter(Boolean).join(" "));
  expect(shown(undefined)).toEqual([]);
  expect(shown({ first_token_s: 0.214, tokens_per_s: 9.87, prompt_tokens: 12, completion_tokens: 345, cost: 0.00002, finish_reason: "length" })).toEqual([
    "ended by the limit of tokens",
    "first token 0.21 s",
    "9.9 tokens/s",
    "12 in, 345 out",
    "$0.00002",
  ]);
});

test("moments are told as people do", () => {
  const now = Date.parse("2026-05-10T12:00:00Z");
  const told = ["2026-05-10T11:59:30Z", "2026-05-10T11:57:00Z", "2026-05-10T09:00:00Z", "2026-05-09T11:00:00Z", "2026-04-01T00:00:00Z"].map((moment) => ago(moment, now));
  expect(told).toEqual(["just now", "3 minutes ago", "3 hours ago", "yesterday", "Apr 1, 2026"]);
});
