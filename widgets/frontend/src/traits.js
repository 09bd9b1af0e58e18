// Traits are the small durable things that Python and all views share.

/** Show what Python holds, now and whenever it changes. */
export function bind(model, name, show) {
  model.on(`change:${name}`, () => show(model.get(name)));
  show(model.get(name));
}

/** Set a trait because the user did. */
export function set(model, name, value) {
  model.set(name, value);
  model.save_changes();
}
