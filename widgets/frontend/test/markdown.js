import { Formulas } from "../src/markdown/formulas.js";
import { MarkdownView } from "../src/markdown/view.js";

/** Formulas whose module never comes: their source is shown. */
export const plainFormulas = () => new Formulas(() => new Promise(() => {}));

/** Return the view of a text that came in these pieces. */
export function viewOf(pieces, formulas = plainFormulas()) {
  const view = new MarkdownView({ formulas });
  for (const piece of pieces) {
    view.write(piece);
    view.finish();
  }
  view.end();
  view.finish();
  return view;
}

export const htmlOf = (pieces, formulas) => viewOf(pieces, formulas).node.innerHTML;

/** The same examples in every run, however busy the machine is; RUNS=20000 looks at others, and longer. */
export function runs(usual) {
  const wanted = Number(process.env.RUNS);
  return wanted ? { numRuns: wanted, endOnFailure: true } : { numRuns: usual, seed: 1, endOnFailure: true };
}
