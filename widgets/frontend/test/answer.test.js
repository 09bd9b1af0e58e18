import { expect, test, vi } from "vitest";
import { Answer } from "../src/entry_answer.js";

function answer(entry) {
  const send = vi.fn();
  const context = { send, notify: () => {}, whenIdle: (act) => act(), formulas: { draw: () => {} } };
  return { send, answer: new Answer({ id: "a1", role: "assistant", model: "m", text: "", state: "streaming", figures: {}, calls: [], branch: { index: 0, count: 1 }, ...entry }, context) };
}

const said = ({ node }) => [...node.querySelectorAll(".lab-chat-dots > span:not([hidden], [role=img])")].map((part) => part.textContent);

test("an answer says that its model is being loaded, for as long as that is so", () => {
  const { answer: shown } = answer();
  expect(said(shown)).toEqual([]);
  shown.setState("loading");
  expect(said(shown)).toEqual(["Loading the model …"]);
  expect(shown.busy).toBe(true);
  shown.setState("streaming");
  expect(said(shown)).toEqual([]);
  expect(shown.node.querySelector("[role=img]").getAttribute("aria-label")).toBe("The model is at work");
  shown.setState("loading");
  shown.add("Hello");
  expect(shown.node.querySelector(".lab-chat-dots")).toBeNull();
});

test("an answer says how many are before it in the queue, then that its model is being loaded", () => {
  const { answer: shown } = answer();
  shown.setState("queued", 3);
  expect(said(shown)).toEqual(["Waiting for your turn: 2 before you …"]);
  expect(shown.busy).toBe(true);
  shown.setState("queued", 1);
  expect(said(shown)).toEqual(["Your turn is next …"]);
  shown.setState("loading");
  expect(said(shown)).toEqual(["Loading the model …"]);
  shown.setState("streaming");
  expect(said(shown)).toEqual([]);
  expect(said(answer({ state: "queued", figures: { place: 2 } }).answer)).toEqual(["Waiting for your turn: 1 before you …"]);
});

test("a view that comes while the model is being loaded says so too", () => {
  expect(said(answer({ state: "loading" }).answer)).toEqual(["Loading the model …"]);
});

test.each(["length", "tool_rounds"])("an answer that ended by the limit %j goes on with a button", (finish_reason) => {
  const { answer: shown, send } = answer();
  shown.end({ state: "done", figures: { finish_reason }, calls: [] });
  const button = [...shown.node.querySelectorAll("button")].find((each) => each.textContent === "Continue");
  button.click();
  expect(send).toHaveBeenCalledWith("ask", { text: "Continue exactly where you stopped.", attachments: [] });
});

test("an answer that ended by itself has no such button", () => {
  const { answer: shown } = answer();
  shown.end({ state: "done", figures: { finish_reason: "stop" }, calls: [] });
  expect([...shown.node.querySelectorAll("button")].some((each) => each.textContent === "Continue")).toBe(false);
});
