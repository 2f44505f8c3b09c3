// Fields with a label, a hint, and the place where the gateway's own words about them appear.
import { h } from "./dom.js";

let serial = 0;

export class Form {
  constructor(submit) {
    this.fields = new Map();
    this.whole = h("p", { class: "field problem", role: "alert" });
    this.element = h("form", { novalidate: true, onsubmit: (event) => { event.preventDefault(); submit(this); } });
  }

  // kind: an input's type, "select" with options [[value, word]], or "check".
  field(name, label, { kind = "text", hint = "", value = "", options = [], placeholder = "", auto = "off", required = false, mode } = {}) {
    const id = `f${serial += 1}`;
    const error = h("p", { class: "error", id: `${id}-error`, hidden: true });
    const described = `${hint ? `${id}-hint ` : ""}${id}-error`;
    const shared = { id, name, "aria-describedby": described, required };
    const input = kind === "select"
      ? h("select", shared, options.map(([each, word]) => h("option", { value: each, selected: String(each) === String(value) }, word)))
      : kind === "check" ? h("input", { ...shared, type: "checkbox", checked: Boolean(value) })
        : kind === "area" ? h("textarea", { ...shared, rows: 6 }, value)
          : h("input", { ...shared, type: kind, value, placeholder, autocomplete: auto, inputmode: mode, spellcheck: "false", autocapitalize: "none" });
    const words = h("label", { for: id }, kind === "check" ? [input, " ", label] : label);
    const box = h("div", { class: kind === "check" ? "field check" : "field" }, words, kind === "check" ? null : input,
      hint ? h("p", { class: "hint", id: `${id}-hint` }, hint) : null, error);
    this.fields.set(name, { input, error, kind });
    return box;
  }

  value(name) {
    const { input, kind } = this.fields.get(name);
    return kind === "check" ? input.checked : input.value;
  }

  clear() {
    this.whole.textContent = "";
    for (const { input, error } of this.fields.values()) { input.removeAttribute("aria-invalid"); error.hidden = true; error.textContent = ""; }
  }

  // Shows a refusal where it belongs, and puts the focus on the first field that is wrong.
  show(refusal) {
    const rest = [];
    let first;
    for (const { field, text } of refusal.problems) {
      const place = this.fields.get(field);
      if (!place) { rest.push(text); continue; }
      place.error.textContent = text;
      place.error.hidden = false;
      place.input.setAttribute("aria-invalid", "true");
      first = first || place.input;
    }
    if (!refusal.problems.length || rest.length) this.whole.textContent = rest.length ? rest.join("\n") : refusal.message;
    if (first) first.closest("details")?.setAttribute("open", "");
    (first || this.element.querySelector("input, select"))?.focus();
  }
}

export function dialog(title, ...content) {
  const id = `d${serial += 1}`;
  const box = h("dialog", { "aria-labelledby": id, onclose: () => box.remove() }, h("h2", { id }, title), ...content);
  document.body.append(box);
  box.showModal();
  return box;
}
