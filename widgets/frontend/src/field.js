// Text fields for prompts.

/** Let a field grow with its text; returns the function that fits it now. */
export function growing(field) {
  const fit = () => {
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight + 2}px`;
  };
  field.addEventListener("input", fit);
  return fit;
}

/** Send on Enter; Shift+Enter starts a line, which JupyterLab keeps the browser from doing everywhere in a cell. */
export function onEnter(field, send) {
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || event.defaultPrevented) return;
    event.preventDefault();
    if (!event.shiftKey) {
      send();
      return;
    }
    field.setRangeText("\n", field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
  });
}
