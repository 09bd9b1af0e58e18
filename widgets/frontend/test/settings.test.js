import { expect, test, vi } from "vitest";
import { makeSettings } from "../src/settings.js";

const model = { get: () => null, on: () => {}, set: () => {}, save_changes: () => {} };
const line = (box) => [...box.children].find((node) => node.localName === "small");

test("the kernel is asked for its memory whenever the settings are opened", async () => {
  const replies = [{ ok: true, bytes: 312_400_000 }, { ok: true, bytes: 1_560_000_000 }, { ok: false }, { ok: true, bytes: null }];
  const request = vi.fn(() => Promise.resolve(replies.shift()));
  const { box, button } = makeSettings(model, () => {}, request);
  expect(line(box).hidden).toBe(true);
  expect(request).not.toHaveBeenCalled();
  const shown = async () => {
    button.click();
    await Promise.resolve();
    const words = line(box).hidden ? "" : line(box).textContent;
    button.click();
    return words;
  };
  expect(await shown()).toBe("The kernel of this chat uses 312 MB of memory.");
  expect(await shown()).toBe("The kernel of this chat uses 1.6 GB of memory.");
  expect(await shown()).toBe("");
  expect(await shown()).toBe("");
  expect(request).toHaveBeenCalledTimes(4);
});
