import { h, iconButton } from "./dom.js";

// The controls bound to the panel's traits: each shows what Python holds, and sets it when the user changes it.

function bind(model, name, show) {
  model.on(`change:${name}`, () => show(model.get(name)));
  show(model.get(name));
}

function set(model, name, value) {
  model.set(name, value);
  model.save_changes();
}

/** State of the connection: a dot and a sentence; the remedy stands below the header while there is trouble. */
export function makeStatus(model) {
  const text = h("span", { class: "lab-chat-status-text" });
  const node = h("div", { class: "lab-chat-status", role: "status" }, h("span", { class: "lab-chat-dot", "aria-hidden": "true" }), text);
  const banner = h("div", { class: "lab-chat-banner", role: "alert", hidden: true });
  bind(model, "status", ({ state, reason, remedy }) => {
    node.dataset.state = state;
    text.textContent = state === "ok" || state === "checking" ? reason : "Not connected";
    if (state === "checking") return; // a banner that is still right should not blink
    banner.hidden = state === "ok";
    banner.replaceChildren(...(state === "ok" ? [] : [h("strong", {}, reason), " ", remedy]));
  });
  return { node, banner };
}

/** The drop-down of models. A model that the hub does not list stays visible, so that nothing changes silently. */
export function makeModelSelect(model) {
  const select = h("select", { class: "lab-chat-select", "aria-label": "Model", onchange: () => set(model, "model", select.value) });
  const show = () => {
    const chosen = model.get("model");
    const names = [...model.get("models")];
    if (!names.includes(chosen)) names.unshift(chosen);
    select.replaceChildren(...names.map((name) => h("option", { value: name }, name || "No model")));
    select.value = chosen;
  };
  model.on("change:models", show);
  bind(model, "model", show);
  return select;
}

/** System prompt, temperature and longest answer; the last two say "hub's default" until the user sets them. */
export function makeSettings(model) {
  const box = h("div", { class: "lab-chat-settings", hidden: true });
  box.append(makeSystemPrompt(model), h("div", { class: "lab-chat-settings-row" }, makeTemperature(model), makeMaxTokens(model)));
  const button = iconButton("settings", "Settings", () => {
    box.hidden = !box.hidden;
    button.setAttribute("aria-expanded", String(!box.hidden));
  });
  button.setAttribute("aria-expanded", "false");
  return { box, button };
}

function makeSystemPrompt(model) {
  const area = h("textarea", { rows: 2, placeholder: "What the model should know or how it should answer (optional)" });
  area.addEventListener("change", () => set(model, "system_prompt", area.value));
  bind(model, "system_prompt", (value) => {
    area.value = value;
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
