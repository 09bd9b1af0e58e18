import { h, icon, textButton } from "./dom.js";

const STATES = { asking: "wants to run", running: "running …", done: "done", denied: "denied", failed: "failed" };

/** Make the node of a tool call; `answer(allow, always)` is called when the user decides. */
export function toolCall(call, answer) {
  const state = h("span", { class: "lab-chat-call-state" }, STATES[call.state] ?? call.state);
  const head = h("div", { class: "lab-chat-call-head" }, icon("tool"), h("code", {}, call.name), state);
  const node = h("div", { class: "lab-chat-call", role: "group", "aria-label": `Tool ${call.name}`, "data-state": call.state }, head);
  const parameters = (call.arguments ?? "").trim();
  if (parameters && parameters !== "{}") {
    const text = h("pre", { tabindex: "0", role: "region", "aria-label": "Arguments" }, parameters);
    const long = parameters.split("\n").length > 12;
    node.append(long && call.state !== "asking" ? h("details", {}, h("summary", {}, "Arguments"), text) : text);
  }
  if (call.state === "asking") {
    const decide = (allow, always) => () => {
      for (const button of node.querySelectorAll(".lab-chat-call-choice button")) button.disabled = true;
      answer(allow, always);
    };
    const choice = h("div", { class: "lab-chat-call-choice" });
    choice.append(
      textButton("Allow", decide(true, false), "lab-chat-primary"),
      textButton("Always allow", decide(true, true), "", { title: `Run ${call.name} without asking from now on in this panel` }),
      textButton("Deny", decide(false, false)),
    );
    node.append(choice);
  }
  if (call.result) {
    const result = h("pre", { tabindex: "0", role: "region", "aria-label": "Result" }, call.result);
    node.append(h("details", { open: call.state === "failed" }, h("summary", {}, "Result"), result));
  }
  return node;
}
