// Numbers as people read them.

/** Whole numbers with thousands apart; from ten thousand on in thousands. */
export const count = (number) => (number < 10_000 ? number.toLocaleString("en") : `${(number / 1000).toLocaleString("en", { maximumFractionDigits: number < 100_000 ? 1 : 0 })}k`);

/** Local models cost far less than a cent: two significant figures, and never an exponent. As `money` of litellm_hub.client.figures. */
export const money = (cost) =>
  `$${cost.toLocaleString("en", cost && cost < 1 ? { maximumSignificantDigits: 2, maximumFractionDigits: 20 } : { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;

/** Memory in MB, from a thousand on in GB. */
export const memory = (bytes) => (bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`);

/** What an answer took, a part for each number that is known: {label, value, title}. */
export function describe(figures) {
  const { first_token_s, tokens_per_s, prompt_tokens, completion_tokens, cost, finish_reason, duration_s } = figures ?? {};
  const parts = [];
  if (finish_reason === "length") parts.push({ value: "ended by the limit of tokens", title: "The answer reached its limit; raise “Longest answer” in the settings" });
  if (finish_reason === "tool_rounds") parts.push({ value: "paused after many tool calls", title: "The model called tools so often in one answer that you are asked whether it shall go on" });
  if (first_token_s != null) parts.push({ label: "first token", value: `${first_token_s.toFixed(2)} s`, title: "Time from the prompt to the first token" });
  if (tokens_per_s != null) parts.push({ value: `${tokens_per_s.toFixed(tokens_per_s < 10 ? 1 : 0)} tokens/s`, title: duration_s == null ? "" : `The whole answer took ${duration_s.toFixed(1)} s` });
  if (prompt_tokens != null || completion_tokens != null) {
    parts.push({ value: `${count(prompt_tokens ?? 0)} in, ${count(completion_tokens ?? 0)} out`, title: "Tokens of the prompt with its history, and of the answer" });
  }
  if (cost != null) parts.push({ value: money(cost), title: "What the answer cost" });
  return parts;
}

const UNITS = [[60, "minute", 60], [3600, "hour", 3600], [86_400, "day", 86_400]];

/** How long ago a moment in ISO 8601 was. */
export function ago(moment, now = Date.now()) {
  const seconds = (now - Date.parse(moment)) / 1000;
  if (!(seconds >= 60)) return "just now";
  if (seconds >= 7 * 86_400) return new Date(moment).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" });
  const [, unit, size] = UNITS.findLast(([from]) => seconds >= from);
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(-Math.floor(seconds / size), unit);
}
