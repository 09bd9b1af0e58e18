// In every page, before its own scripts: counts the bytes of its sockets and its long tasks, and notes when the first
// and the last word of the answer are in the document.
(() => {
  if (window.chatProbe) return;
  const POLL = 10; // ms
  const TAIL = 2000; // characters at the end of the chat in which the last word must be
  const probe = (window.chatProbe = {});
  const bytes = (data) => (typeof data === "string" ? new Blob([data]).size : data.byteLength ?? data.size ?? 0);

  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(...values) {
      super(...values);
      this.addEventListener("message", (event) => {
        if (!probe.running) return;
        const started = performance.now();
        probe.received += bytes(event.data);
        probe.frames += 1;
        probe.cost += performance.now() - started;
      });
    }
  };
  const roots = [];
  const attach = Element.prototype.attachShadow;
  Element.prototype.attachShadow = function (options) {
    const root = attach.call(this, { ...options, mode: "open" });
    roots.push(root);
    return root;
  };
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      probe.longTasks += 1;
      probe.longest = Math.max(probe.longest, entry.duration);
    }
  });
  observer.observe({ type: "longtask" });

  const now = () => performance.timeOrigin + performance.now();
  const all = () =>
    [document, ...roots.filter((root) => root.host?.isConnected)].flatMap((root) => [...root.querySelectorAll(probe.selector)]);
  const find = () => all().findLast((element) => element.textContent.includes(probe.first));
  // Only the end is read: reading a long answer whole, a hundred times a second, would be the dearest work of the page.
  const tail = (element) => {
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    let text = "";
    let node = element;
    while (node.lastChild) node = node.lastChild;
    walker.currentNode = node;
    if (node.nodeType !== Node.TEXT_NODE) node = walker.previousNode();
    while (node && text.length < TAIL) {
      text = node.data + text;
      node = walker.previousNode();
    }
    return text;
  };
  let answer = null;
  const look = () => {
    if (!answer?.isConnected) answer = find();
    if (!answer) return;
    probe.firstSeen ||= now();
    if (tail(answer).includes(probe.last)) probe.lastSeen = now();
  };
  setInterval(() => {
    if (!probe.running || probe.lastSeen) return;
    const started = performance.now();
    look();
    probe.cost += performance.now() - started;
  }, POLL);

  probe.start = (selector, first, last) => {
    answer = null;
    const counts = { received: 0, frames: 0, longTasks: 0, longest: 0, cost: 0, firstSeen: 0, lastSeen: 0 };
    Object.assign(probe, counts, { selector, first, last, running: true, started: now() });
  };
  probe.read = () => JSON.parse(JSON.stringify(probe));
})();
