// What is known of a model, as people choose by it.

const short = (tokens) => (tokens >= 1024 ? `${Math.round(tokens / 1024)}k` : String(tokens));

/** A model in a list: its name and what is known of size, context and skills. */
export function choice(name, { size, context, about, tools } = {}) {
  const skills = [about, tools === true && "tools"].filter(Boolean).join(", ");
  const known = [size, context && short(context), skills].filter(Boolean).join(" · ");
  return known ? `${name} — ${known}` : name;
}
