import { h, iconButton, uniqueId } from "./dom.js";
import { memory } from "./numbers.js";
import { bind, set } from "./traits.js";

/**
 * System prompt, temperature and longest answer; the last two say "hub's default" and are sent only when set.
 * @param {object} model the widget's model
 * @param {(type: string, fields: object) => void} send sends a message to Python
 * @param {(type: string) => Promise<object>} request sends one and awaits the reply
 */
export function makeSettings(model, send, request) {
  const id = uniqueId("settings");
  const box = h("div", { class: "lab-chat-settings", id, hidden: true, role: "group", "aria-label": "Options" });
  const used = h("small", { hidden: true });
  box.append(makeSystemPrompt(model), h("div", { class: "lab-chat-settings-row" }, makeTemperature(model), makeMaxTokens(model), makeKey(send)), used);
  const tools = makeTools(model, send);
  if (tools) box.append(tools);
  const toggle = (open) => {
    box.hidden = !open;
    if (open) tellMemory(used, request);
    button.setAttribute("aria-expanded", String(open));
  };
  const button = iconButton("settings", "Settings", () => toggle(box.hidden), "lab-chat-second");
  button.setAttribute("aria-expanded", "false");
  button.setAttribute("aria-controls", id);
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    toggle(false);
    button.focus();
  });
  return { box, button };
}

/** How much memory the kernel of this chat has in use at the moment; nothing where it does not say. */
async function tellMemory(node, request) {
  const { ok, bytes } = await request("memory");
  node.hidden = !ok || !bytes;
  if (!node.hidden) node.textContent = `The kernel of this chat uses ${memory(bytes)} of memory.`;
}

function makeSystemPrompt(model) {
  const area = h("textarea", { rows: 2, placeholder: "What the model should know or how it should answer (optional)" });
  area.addEventListener("change", () => set(model, "system_prompt", area.value));
  bind(model, "system_prompt", (value) => {
    area.value = value ?? "";
  });
  return h("label", { class: "lab-chat-field" }, "System prompt", area);
}

function makeTemperature(model) {
  const slider = h("input", { type: "range", min: 0, max: 2, step: 0.05, "aria-label": "Temperature" });
  const value = h("output", { class: "lab-chat-value" });
  const reset = h("button", { type: "button", class: "lab-chat-link", onclick: () => set(model, "temperature", null) }, "reset");
  slider.addEventListener("input", () => set(model, "temperature", Number(slider.value)));
  bind(model, "temperature", (temperature) => {
    const isSet = temperature != null;
    slider.value = isSet ? temperature : 1;
    slider.classList.toggle("lab-chat-unset", !isSet);
    slider.setAttribute("aria-valuetext", isSet ? String(temperature) : "hub's default");
    value.textContent = isSet ? temperature.toFixed(2) : "hub's default";
    reset.hidden = !isSet;
  });
  return h("div", { class: "lab-chat-field" }, h("span", {}, "Temperature ", value, " ", reset), slider);
}

function makeMaxTokens(model) {
  const input = h("input", { type: "number", min: 1, step: 1, placeholder: "hub's default", "aria-label": "Longest answer in tokens" });
  input.addEventListener("change", () => {
    const number = Math.floor(Number(input.value));
    set(model, "max_tokens", input.value.trim() && number >= 1 ? number : null);
    input.value = model.get("max_tokens") ?? "";
  });
  bind(model, "max_tokens", (value) => {
    input.value = value ?? "";
  });
  return h("label", { class: "lab-chat-field" }, "Longest answer (tokens)", input);
}

/** Another key for the hub: it goes to the kernel, and is nowhere else when the kernel has ended. */
function makeKey(send) {
  const input = h("input", { type: "password", autocomplete: "off", placeholder: "the notebook's own", "aria-label": "Key for the hub" });
  const use = () => {
    if (!input.value.trim()) return;
    send("key", { key: input.value });
    input.value = "";
    input.placeholder = "a key of yours, until the kernel ends";
  };
  input.addEventListener("change", use);
  return h("label", { class: "lab-chat-field" }, "Key for the hub", input);
}

/** The functions that the model may call, if there are any, each with a switch. */
function makeTools(model, send) {
  const tools = model.get("tools") ?? [];
  if (!tools.length) return null;
  const list = h("ul", { class: "lab-chat-tool-list" });
  const note = h("small", { role: "status" });
  // What a model cannot do is said before it is asked.
  const tell = () => {
    const offers = (model.get("tools") ?? []).some(({ on }) => on);
    const cannot = (model.get("abilities") ?? {})[model.get("model")]?.tools === false;
    note.textContent = offers && cannot ? `${model.get("model")} cannot call tools: choose another model, or switch them off.` : "";
  };
  bind(model, "tools", (all) => {
    const focused = list.contains(document.activeElement) ? document.activeElement.value : null;
    const items = (all ?? []).map(({ name, description, approval, on }) => {
      const box = h("input", { type: "checkbox", value: name, checked: on, onchange: () => send("tool", { name, on: box.checked }) });
      return h("li", {}, h("label", {}, box, h("code", {}, name), ` ${description} `, h("small", {}, approval === "always" ? "runs without asking" : "asks first")));
    });
    list.replaceChildren(...items);
    if (focused !== null) [...list.querySelectorAll("input")].find((box) => box.value === focused)?.focus();
    tell();
  });
  model.on("change:model", tell);
  model.on("change:abilities", tell);
  return h("div", { class: "lab-chat-field" }, "Tools the model may call", list, note);
}
