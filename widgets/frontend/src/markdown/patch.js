/** Make `target` have the children of `source`, touching only what differs: what a reader selected stays selected. */
export function patch(target, source) {
  let old = target.firstChild;
  let fresh = source.firstChild;
  while (fresh) {
    const next = fresh.nextSibling;
    if (!old) target.append(fresh);
    else {
      const following = old.nextSibling;
      if (!old.isEqualNode(fresh)) update(old, fresh);
      old = following;
    }
    fresh = next;
  }
  while (old) {
    const following = old.nextSibling;
    old.remove();
    old = following;
  }
}

function update(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE && fresh.nodeType === Node.TEXT_NODE) {
    if (fresh.data.startsWith(old.data)) old.appendData(fresh.data.slice(old.data.length));
    else old.data = fresh.data;
  } else if (old.nodeName === fresh.nodeName && old.nodeType === Node.ELEMENT_NODE && old.namespaceURI === fresh.namespaceURI && old.cloneNode().isEqualNode(fresh.cloneNode())) {
    patch(old, fresh);
  } else {
    old.replaceWith(fresh);
  }
}
