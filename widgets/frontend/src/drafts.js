// What is typed and not sent, for each conversation: it survives another display of the panel and a reload of the page,
// and goes with the tab.
const kept = new Map();
const key = (conversation) => `genailabs-draft:${conversation}`;

export function readDraft(conversation) {
  try {
    return sessionStorage.getItem(key(conversation)) ?? "";
  } catch {
    return kept.get(conversation) ?? ""; // some front ends forbid storage
  }
}

export function writeDraft(conversation, text) {
  kept.set(conversation, text);
  try {
    if (text) sessionStorage.setItem(key(conversation), text);
    else sessionStorage.removeItem(key(conversation));
  } catch {
    // The map above has it for as long as the page lives.
  }
}

// Which conversation a cell showed last, for the time that it runs again.
const shown = (place) => `genailabs-shown:${place}`;

export function lastShown(place) {
  try {
    return (place && localStorage.getItem(shown(place))) ?? "";
  } catch {
    return "";
  }
}

export function keepShown(place, conversation) {
  try {
    if (place && conversation) localStorage.setItem(shown(place), conversation);
  } catch {
    // Then the cell begins a new one, and the old one is in the list.
  }
}
