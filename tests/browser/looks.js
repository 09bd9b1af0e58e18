// What test_accessibility.py looks for on a page; each returns what it finds wrong.
({
  /** Controls that stick out of the page or of what clips them, unless that scrolls to them; and words that do not fit in. */
  cut() {
    const found = [];
    const wide = document.documentElement.scrollWidth;
    if (wide > innerWidth) found.push(`the page is ${wide} px wide`);
    for (const node of document.querySelectorAll("main :is(button, select, input, textarea, summary, a, label)")) {
      if (!node.checkVisibility() || node.matches("[class$='-unseen']")) continue;
      const name = node.ariaLabel || node.textContent || node.className;
      const box = node.getBoundingClientRect();
      const oneText = node.matches("button:not(:has(> span + *))");
      if (oneText && node.scrollWidth > node.clientWidth + 1) found.push(`${name}: its words`);
      for (let around = node.parentElement; around; around = around.parentElement) {
        const { overflowX, overflowY } = getComputedStyle(around);
        const body = around === document.body;
        const edge = body ? { left: 0, right: innerWidth } : around.getBoundingClientRect();
        if ((overflowX === "hidden" || body) && (box.right > edge.right + 1 || box.left < edge.left - 1)) found.push(`${name}: sideways`);
        if (overflowY === "auto" || overflowY === "scroll") break;
        if (overflowY === "hidden" && (box.bottom > edge.bottom + 1 || box.top < edge.top - 1)) found.push(`${name}: up and down`);
      }
    }
    return found;
  },

  /** In forced colours: controls without an edge, focus that is not seen, and parts that told something by their colour alone. */
  colourless() {
    const found = [];
    const seen = (selector) => [...document.querySelectorAll(`main ${selector}`)].filter((node) => node.checkVisibility({ opacityProperty: true }));
    const outlined = (node) => getComputedStyle(node).outlineStyle !== "none";
    const bordered = (node) => {
      const style = getComputedStyle(node);
      return ["top", "right", "bottom", "left"].every((side) => style[`border-${side}-style`] !== "none" && parseFloat(style[`border-${side}-width`]) > 0);
    };
    const frame = (node) => node.closest(".lab-chat-compose-box, .lab-chat-editor") ?? node; // some fields lie in one
    const background = (node) => getComputedStyle(node).backgroundColor;
    const border = (node) => getComputedStyle(node).borderTopColor;
    const name = (node) => node.ariaLabel || node.textContent || node.className;

    const typed = "input:not([type='checkbox'], [type='range'], [type='file'])";
    for (const node of seen(`:is(button:not([class*='link']), select, textarea, ${typed})`)) {
      const field = node.matches("textarea") ? frame(node) : node;
      if (!bordered(field) && !outlined(field)) found.push(`no edge: ${name(node)}`);
    }
    const chosen = "[aria-selected='true'], [aria-current], [aria-pressed='true']";
    for (const node of seen(`:is(${chosen}, .lab-chat-dot, .lab-chat-dots i, .lab-chat-meter-bar i)`)) {
      if (background(node) === background(document.body)) found.push(`not to be told apart: ${name(node)}`);
    }
    for (const node of seen("[data-chosen]")) {
      if (border(node) === border(node.previousElementSibling ?? node.nextElementSibling)) found.push(`not to be told apart: ${name(node)}`);
    }
    const [shut] = seen(".lab-chat-button:not([aria-expanded='true'])");
    for (const node of seen(".lab-chat-button[aria-expanded='true']")) {
      if (background(node) === background(shut)) found.push(`as if it were closed: ${name(node)}`);
    }
    const active = document.activeElement;
    if (active.matches(":focus-visible") && !outlined(active) && !outlined(frame(active))) found.push(`no focus: ${name(active)}`);
    return found;
  },

  /** What moves, and what would when it changes. */
  motion() {
    const moving = document.getAnimations().map(({ effect }) => `moves: ${effect.target.className}`);
    const eager = [...document.querySelectorAll("main *")].filter((node) => parseFloat(getComputedStyle(node).transitionDuration) > 0);
    return [...moving, ...eager.map((node) => `would move: ${node.className}`)];
  },
})
