// Views that lose events, come late or see other views' replies end up with the same as one that saw everything.
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { Channel } from "../src/protocol.js";
import { Log } from "../src/log.js";
import { plainFormulas, runs } from "./markdown.js";

class Model {
  sent = [];
  on(_, callback) {
    this.receive = callback;
  }
  send(message) {
    this.sent.push(message);
  }
}

const context = () => ({ formulas: plainFormulas(), send: () => {}, notify: () => {}, whenIdle: (act) => act(), focusComposer: () => {} });

/** A view as the panel makes it, without the rest of the panel. */
function makeView() {
  const model = new Model();
  const log = new Log(context(), document.createElement("div"));
  const channel = new Channel(model, {
    replay: ({ entries }) => log.show(entries),
    path: ({ keep, entries }) => log.keep(keep, entries),
    delta: ({ id, text }) => log.add(id, text),
    call: ({ id, call, state }) => log.call(id, call, state),
    end: ({ answer }) => log.end(answer),
  });
  return { model, log, channel };
}

function html({ log }) {
  for (const entry of log.entries) {
    entry.hydrate();
    for (const section of entry.body?.sections ?? []) section.finish();
  }
  const copy = log.list.cloneNode(true);
  for (const node of copy.querySelectorAll("*")) for (const name of ["id", "aria-controls"]) node.removeAttribute(name);
  return copy.innerHTML;
}

/** What Python holds, and the events that lead there. */
function story(steps) {
  const events = [];
  let entries = [];
  const states = [];
  const emit = (event) => {
    events.push({ ...event, seq: events.length + 1 });
    states.push(structuredClone(entries));
  };
  let number = 0;
  for (const { text, cuts, call, forget } of steps) {
    if (forget && entries.length) {
      entries = entries.slice(0, -2);
      emit({ type: "path", keep: entries.length, entries: [], busy: false });
    }
    number += 1;
    const prompt = { id: `p${number}`, role: "user", text: `prompt ${number}`, attachments: [], branch: { index: 0, count: 1 } };
    const answer = { id: `a${number}`, role: "assistant", model: "m", text: "", state: "streaming", reason: "", remedy: "", figures: {}, calls: [], branch: { index: 0, count: 1 } };
    entries = [...entries, prompt, answer];
    emit({ type: "path", keep: entries.length - 2, entries: structuredClone([prompt, answer]), busy: true });
    const marks = [0, ...cuts.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b), text.length];
    marks.slice(1).forEach((mark, index) => {
      const piece = text.slice(marks[index], mark);
      if (piece) {
        answer.text += piece;
        emit({ type: "delta", id: answer.id, text: piece });
      }
      if (call && index === 0) {
        answer.calls = [{ id: "c", name: "tool", arguments: "{}", state: "done", result: "r", at: [...answer.text].length, round: 0 }];
        emit({ type: "call", id: answer.id, call: answer.calls[0], state: "streaming" });
      }
    });
    answer.state = "done";
    const { text: _, ...ended } = answer;
    emit({ type: "end", answer: structuredClone(ended), busy: false });
  }
  return { events, states };
}

const TEXTS = ["Hello *world*", "# H\n\n- a\n- b\n\n```py\nx = 1\n```\nend", "See [a].\n\n[a]: https://a.example/", "| a |\n|---|\n| 🌊 |\n\n$x$"];
const step = fc.record({ text: fc.constantFrom(...TEXTS), cuts: fc.array(fc.nat(), { maxLength: 4 }), call: fc.boolean(), forget: fc.boolean() });

test("any lost events and late views end with the same conversation", () => {
  const property = fc.property(fc.array(step, { minLength: 1, maxLength: 3 }), fc.nat(), fc.infiniteStream(fc.boolean()), (steps, late, losses) => {
    const { events, states } = story(steps);
    const whole = makeView();
    whole.model.receive({ type: "replay", seq: 0, entries: [] });
    const poor = makeView();
    poor.channel.synchronise();
    const begin = late % events.length;
    events.forEach((event, index) => {
      whole.model.receive(structuredClone(event));
      if (index < begin) return;
      if (losses.next().value && index < events.length - 1) return; // the last one arrives, as the next would
      poor.model.receive(structuredClone(event));
      // The request for a replay is answered some time later.
      if (poor.model.sent.length && losses.next().value) {
        poor.model.sent = [];
        poor.model.receive({ type: "replay", seq: event.seq, entries: structuredClone(states[index]) });
      }
    });
    if (poor.channel.seq !== events.length) poor.model.receive({ type: "replay", seq: events.length, entries: structuredClone(states.at(-1)) });
    poor.channel.synchronise();
    clearTimeout(poor.channel.timer);
    expect(html(poor)).toBe(html(whole));
  });
  fc.assert(property, runs(25));
}, 60_000);

test("a view asks for a replay until it comes", () => {
  vi.useFakeTimers();
  const { model, channel } = makeView();
  channel.synchronise();
  vi.advanceTimersByTime(3500);
  expect(model.sent.map(({ type }) => type)).toEqual(["replay", "replay", "replay", "replay"]);
  model.receive({ type: "replay", seq: 7, entries: [] });
  vi.advanceTimersByTime(5000);
  expect(model.sent.length).toBe(4);
  vi.useRealTimers();
});

test("a request gets its own reply, and one that says so when none comes", async () => {
  vi.useFakeTimers();
  const { model, channel } = makeView();
  const first = channel.request("new");
  const second = channel.request("rename", { id: "1", title: "t" });
  model.receive({ type: "reply", request: "of another view", ok: true });
  model.receive({ type: "reply", request: model.sent[1].request, ok: true, done: 2 });
  expect((await second).done).toBe(2);
  vi.advanceTimersByTime(60_000);
  expect(await first).toMatchObject({ ok: false, reason: "The kernel does not answer." });
  vi.useRealTimers();
});
