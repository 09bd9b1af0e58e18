import { h, icon } from "../dom.js";
import { safeImage } from "./sanitize.js";

/** Make what stands for an image: its address can carry data to its host, so it is fetched only when it is asked for. */
export function imagePlaceholder(image) {
  const alt = image.getAttribute("alt") ?? "";
  const url = safeImage(image.getAttribute("data-src"));
  if (!url) return h("span", { class: "lab-chat-image-refused" }, alt ? `[image: ${alt}]` : "[image]");
  const words = h("span", {}, `Load image from ${url.host}`, alt ? h("em", {}, alt) : null);
  return h("button", { type: "button", class: "lab-chat-image", "data-image": url.href, title: url.href.slice(0, 300) }, icon("image"), words);
}

/** Serve the placeholders of all images below `root`. */
export function serveImages(root) {
  root.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-image]");
    if (!button || !root.contains(button)) return;
    event.preventDefault(); // the image may stand within a link
    const alt = button.querySelector("em")?.textContent ?? "";
    const image = h("img", { class: "lab-chat-picture", alt, referrerpolicy: "no-referrer" });
    image.addEventListener("error", () => image.replaceWith(h("span", { class: "lab-chat-image-refused" }, `[image not found: ${alt}]`)));
    image.src = button.dataset.image;
    button.replaceWith(image);
  });
}
