import { h, iconButton } from "./dom.js";
import { choice } from "./models.js";
import { count, money } from "./numbers.js";
import { bind, set } from "./traits.js";

// What is wrong where the hub itself answers.
const TROUBLES = { over_budget: "Budget used up", wrong_key: "Key refused", no_models: "No model", not_configured: "No hub is named" };

/** State of the connection: a dot and a sentence; the remedy stands below the header while there is trouble. */
export function makeStatus(model) {
  const text = h("span", { class: "lab-chat-status-text" });
  const node = h("div", { class: "lab-chat-status", role: "status" }, h("span", { class: "lab-chat-dot", "aria-hidden": "true" }), text);
  const banner = h("div", { class: "lab-chat-banner", role: "alert", hidden: true });
  bind(model, "status", ({ state, reason, remedy }) => {
    node.dataset.state = state;
    text.textContent = state === "ok" || state === "checking" ? reason : (TROUBLES[state] ?? "Not connected");
    node.title = reason;
    if (state === "checking") return; // a banner that is still right should not blink
    banner.hidden = state === "ok";
    banner.replaceChildren(...(state === "ok" ? [] : [h("strong", {}, reason), " ", remedy]));
  });
  return { node, banner };
}

/** Whether the conversation is kept; nothing is said while it is. */
export function makeSaving(model) {
  const banner = h("div", { class: "lab-chat-saving", role: "status", hidden: true });
  bind(model, "saving", (saving) => {
    const { state, reason, remedy } = saving ?? {};
    banner.dataset.state = state;
    banner.hidden = !reason || state === "saved";
    banner.replaceChildren(h("strong", {}, reason ?? ""), " ", remedy ?? "");
  });
  return banner;
}

/** The drop-down of models. A model that the hub does not list stays visible, so that nothing changes silently. */
export function makeModelSelect(model) {
  const select = h("select", { class: "lab-chat-select", "aria-label": "Model", onchange: () => set(model, "model", select.value) });
  const show = () => {
    const chosen = model.get("model");
    const names = [...model.get("models")];
    if (!names.includes(chosen)) names.unshift(chosen);
    const known = model.get("abilities") ?? {};
    select.replaceChildren(...names.map((name) => h("option", { value: name, title: ability(known[name]) }, name ? choice(name, known[name]) : "No model")));
    select.title = ability(known[chosen]);
    select.value = chosen;
  };
  model.on("change:models", show);
  model.on("change:abilities", show);
  bind(model, "model", show);
  return select;
}

/** What is known of a model, in a line. */
function ability({ context, tools } = {}) {
  const parts = [context && `${count(context)} tokens of context`, tools === true && "calls tools", tools === false && "cannot call tools"];
  return parts.filter(Boolean).join(" · ");
}

/** The button that asks the hub again how it is. */
export const makeRefresh = (channel) => iconButton("refresh", "Refresh models and connection", () => channel.send("refresh"), "lab-chat-second");

/** How full the model's context is, and what is left of the key's budget; what is not known is not shown. */
export function makeMeters(model) {
  const node = h("div", { class: "lab-chat-meters" });
  bind(model, "meters", (meters) => {
    const { spend, max_budget, context_used, context_limit } = meters ?? {};
    const shown = [];
    if (context_limit) {
      const used = context_used ?? 0;
      shown.push(meter("Context", used / context_limit, `${percent(used / context_limit)}`, `Context window: ${count(used)} of ${count(context_limit)} tokens are in use`));
    }
    if (max_budget) {
      const left = Math.max(0, max_budget - (spend ?? 0));
      shown.push(meter("Budget", 1 - left / max_budget, `${money(left)} left`, `Budget of the key: ${money(spend ?? 0)} of ${money(max_budget)} are spent`));
    } else if (spend != null) {
      shown.push(h("span", { class: "lab-chat-meter", title: "Spent with this key, which has no budget" }, `${money(spend)} spent`));
    }
    node.replaceChildren(...shown);
  });
  return node;
}

function meter(name, share, words, title) {
  const full = Math.min(1, Math.max(0, share));
  const bar = h("span", { class: "lab-chat-meter-bar", role: "meter", "aria-label": title, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(100 * full) }, h("i"));
  bar.firstChild.style.width = `${100 * full}%`;
  const level = full > 0.95 ? "high" : full > 0.8 ? "warn" : "ok";
  return h("span", { class: "lab-chat-meter", "data-level": level, title }, h("span", { class: "lab-chat-meter-name" }, name), bar, words);
}

const percent = (share) => (share > 0 && share < 0.01 ? "< 1 %" : `${Math.round(100 * share)} %`);
