// The settings in force, as a form: what would be wrong is said at the field, what is right comes out as lines for gateway.toml.
import { call, get } from "../api.js";
import { announce, h } from "../dom.js";
import { Form } from "../form.js";
import { t } from "../i18n.js";

const typed = (text, like) => typeof like === "number" && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;

export function show(place) {
  place.append(h("p", { class: "soft" }, t("config.about")));
  get("config").then(({ settings }) => {
    const outcome = h("div", { role: "status" });
    const form = new Form(async (self) => {
      self.clear();
      outcome.replaceChildren();
      const changes = {};
      for (const each of settings) {
        const given = self.value(`${each.section}.${each.key}`);
        const value = typeof each.value === "boolean" ? given : typed(given, each.value);
        if (each.redacted || value === each.value) continue;
        (changes[each.section] = changes[each.section] || {})[each.key] = value;
      }
      if (!Object.keys(changes).length) { outcome.replaceChildren(h("p", {}, t("config.same"))); return; }
      try {
        const told = await call("POST", "config/check", { changes });
        if (told.good) {
          outcome.replaceChildren(h("div", { class: "card" }, h("h2", {}, t("config.good")), h("p", {}, t("config.put")), h("pre", {}, told.toml)));
          outcome.scrollIntoView({ block: "nearest" });
        } else { self.show({ problems: told.problems, message: "" }); announce(t("config.bad", { n: told.problems.length })); }
      } catch (refusal) { self.show(refusal); }
    });
    const sections = Map.groupBy ? Map.groupBy(settings, (each) => each.section) : settings.reduce((map, each) => map.set(each.section, [...(map.get(each.section) || []), each]), new Map());
    for (const [section, rows] of sections) {
      form.element.append(h("details", { class: "card" }, h("summary", {}, section), h("div", { class: "formgrid" }, rows.map((each) => {
        const words = each.allowed.match(/^"[^"]*"(, "[^"]*")* or "[^"]*"$/) ? each.allowed.match(/"[^"]*"/g).map((word) => JSON.parse(word)) : null;
        const hint = [each.comment, each.comment === each.allowed ? "" : each.allowed, each.redacted ? t("config.hidden") : ""].filter(Boolean).join(" · ");
        return form.field(`${each.section}.${each.key}`, each.key, typeof each.value === "boolean" ? { kind: "check", value: each.value, hint }
          : words ? { kind: "select", value: each.value, options: words.map((word) => [word, word]), hint }
            : { value: each.value, hint, mode: typeof each.value === "number" ? "decimal" : undefined });
      }))));
    }
    form.element.append(form.whole, h("button", { class: "primary", type: "submit" }, t("config.check")));
    form.element.classList.add("stack");
    for (const each of settings.filter((one) => one.redacted)) form.fields.get(`${each.section}.${each.key}`).input.disabled = true;
    place.append(form.element, outcome);
  }).catch((refusal) => place.append(h("p", { class: "problem" }, refusal.message)));
}
