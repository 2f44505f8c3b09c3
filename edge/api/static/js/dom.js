// Builds elements. Text goes in as text, never as markup: what a meter or an operator has said stays what it is.
const SVG = "http://www.w3.org/2000/svg";

function made(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const h = (tag, attributes, ...children) => made(document.createElement(tag), attributes, children);
export const s = (tag, attributes, ...children) => made(document.createElementNS(SVG, tag), attributes, children);
export const $ = (id) => document.getElementById(id);

// Says something once: on screen for a while, and to a screen reader.
let silence;
export function announce(text) {
  $("announce").textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => { $("announce").textContent = ""; }, 5000);
}

// Brings the children of `parent` in line with `items`: elements are kept by key, so that focus and scroll stay.
export function keyed(parent, items, keyOf, make) {
  const kept = parent.keyed || (parent.keyed = new Map());
  const wanted = new Set();
  let before = null;
  for (const item of items) {
    const key = keyOf(item);
    wanted.add(key);
    let entry = kept.get(key);
    if (!entry) kept.set(key, entry = make(item));
    entry.update(item);
    const place = before ? before.nextSibling : parent.firstChild;
    if (place !== entry.element) parent.insertBefore(entry.element, place);
    before = entry.element;
  }
  for (const [key, entry] of kept) if (!wanted.has(key)) { entry.element.remove(); kept.delete(key); }
}

const set = (element, text) => { if (element.textContent !== text) element.textContent = text; };
export { set as setText };
