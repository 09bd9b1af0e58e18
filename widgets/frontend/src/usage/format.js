// Figures and moments of the dashboard as people and the kernel read them.
import { money } from "../numbers.js";

export const HOUR = 3600e3;
export const STEP = { quarter: HOUR / 4, hour: HOUR, day: 24 * HOUR, week: 7 * 24 * HOUR };

const number = (value) => value.toLocaleString("en", { maximumSignificantDigits: 3 });
export const FORMAT = {
  count: (value) => (value >= 1e5 ? value.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 }) : value.toLocaleString("en")),
  money,
  share: (value) => `${(value * 100).toFixed(1)} %`,
  seconds: (value) => `${number(value)} s`,
  rate: (value) => number(value),
};

/** A moment on the charts' clock, which Vega takes for UTC, as the kernel reads it: without a zone. */
export const clock = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 19);

/** The end of the bar of a chart that begins at a moment. */
export function endOf(begin, grain) {
  if (grain !== "month") return begin + STEP[grain];
  const date = new Date(begin);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
}
