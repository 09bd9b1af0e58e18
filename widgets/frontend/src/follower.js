// Keeps the end of a growing list in sight, unless the reader went up.

const NEAR_BOTTOM = 48; // pixels: whoever is this near the end follows it
const TOUCH = 700; // milliseconds in which a scroll counts as the reader's own after a wheel, a key or a finger
const FAR = 300; // pixels from which on the way back is offered

export class Follower {
  /**
   * @param {HTMLElement} list what scrolls
   * @param {(far: boolean) => void} [onscroll] told whether the end is far away
   */
  constructor(list, onscroll = () => {}) {
    this.list = list;
    this.onscroll = onscroll;
    this.following = true;
    this.touched = -Infinity;
    this.held = false; // the scroll bar, by the mouse
    this.top = 0; // position and height at the last look
    this.height = 0;
    // The sizes are known after the layout and before the paint: one write of the position, and no layout forced.
    this.sizes = globalThis.ResizeObserver && new ResizeObserver(() => this.#keepEnd());
    this.watch(list);
    for (const type of ["wheel", "touchmove", "keydown"]) list.addEventListener(type, () => this.#touch(), { passive: true });
    list.addEventListener("pointerdown", () => {
      this.held = true;
    });
    for (const type of ["pointerup", "pointercancel", "mouseleave"]) {
      list.addEventListener(type, () => {
        if (this.held) this.#touch();
        this.held = false;
      });
    }
    list.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  /** Follow the growth of a part of the list. */
  watch(node) {
    this.sizes?.observe(node);
  }

  unwatch(node) {
    this.sizes?.unobserve(node);
  }

  /** Go to the end, and stay there. */
  toEnd() {
    this.following = true;
    this.#keepEnd();
  }

  #touch() {
    this.touched = performance.now();
  }

  #keepEnd() {
    if (this.following) {
      this.height = this.list.scrollHeight;
      this.list.scrollTop = this.height;
    }
    this.#tell(); // a shorter list scrolls nowhere, and says nothing
  }

  #tell() {
    const { scrollHeight, scrollTop, clientHeight } = this.list;
    this.onscroll(!this.following && scrollHeight - scrollTop - clientHeight > FAR);
  }

  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.list;
    const rest = scrollHeight - scrollTop - clientHeight;
    // What is drawn late changes its size and moves the rest; only a way up by the reader, or by the browser's search,
    // ends the following.
    const meant = this.held || performance.now() - this.touched < TOUCH || scrollHeight === this.height;
    if (rest < NEAR_BOTTOM) this.following = true;
    else if (meant && scrollTop < this.top) this.following = false;
    this.top = scrollTop;
    this.height = scrollHeight;
    this.#tell();
  }
}
