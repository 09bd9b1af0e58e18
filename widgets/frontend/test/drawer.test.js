// The forms of the list of conversations: one at a time, each can be left, and the focus goes back to where it came from.
import { beforeEach, expect, test } from "vitest";
import { Drawer } from "../src/drawer.js";

const items = ["Ships", "Storms"].map((title, number) => ({ id: `c${number}`, title, updated: "2026-01-01T00:00:00Z", entries: 2, snippet: "", problem: "" }));
let asked;
let drawer;

const button = (name) => [...drawer.node.querySelectorAll("button")].find((one) => (one.ariaLabel ?? one.getAttribute("aria-label") ?? one.textContent) === name);
const press = (node, key) => node.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const click = (name) => {
  button(name).focus();
  button(name).click();
};
const forms = () => [...drawer.node.querySelectorAll(".lab-chat-confirm")];

beforeEach(async () => {
  asked = [];
  const request = async (type, fields) => {
    asked.push({ type, ...fields });
    return { ok: true, items, total: items.length, current: "c0" };
  };
  drawer = new Drawer({ request }, () => {});
  document.body.replaceChildren(drawer.button, drawer.node);
  drawer.toggle();
  await new Promise((resolve) => setTimeout(resolve));
});

test("a new title can be left by a button and by Escape, and nothing is renamed", () => {
  for (const leave of [() => click("Cancel"), () => press(forms()[0].querySelector("input"), "Escape"), () => press(button("Cancel"), "Escape")]) {
    click("Rename Ships");
    forms()[0].querySelector("input").value = "Boats";
    leave();
    expect(forms()).toEqual([]);
    expect(document.activeElement).toBe(button("Rename Ships"));
    expect(drawer.node.hidden).toBe(false);
  }
  expect(asked.filter(({ type }) => type === "rename")).toEqual([]);
});

test("one form is open at a time", () => {
  for (const name of ["Rename Ships", "Export Ships", "Remove Ships", "Rename Storms", "Remove Ships", "Export Storms", "Rename Ships"]) {
    click(name);
    expect(forms().length, name).toBe(1);
    expect(forms()[0].closest("li").textContent).toContain(name.split(" ")[1]);
  }
  click("Export Ships");
  press(document.activeElement, "Escape");
  expect(forms()).toEqual([]);
  expect(document.activeElement).toBe(button("Export Ships"));
  expect(drawer.node.hidden).toBe(false);
});
