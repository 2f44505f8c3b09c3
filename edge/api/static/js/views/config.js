// The settings in force, as a form: what would be wrong is said at the field, what is right comes out as lines for gateway.toml.
import { call, get } from "../api.js";
import { announce, h } from "../dom.js";
import { Form } from "../form.js";
import { known, t, when } from "../i18n.js";

// Lists and tables stand in their field as JSON; what is none is sent as text, and refused there with its reason.
const listed = (value) => typeof value === "object" && value !== null;
const written = (value) => listed(value) ? JSON.stringify(value) : value;
function typed(text, like) {
  if (listed(like)) { try { return JSON.parse(text); } catch { return text; } }
  return typeof like === "number" && text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

const shown = (each) => `${each.key}: ${JSON.stringify(each.before)} → ${JSON.stringify(each.after)}`;

// The file is taken up by the running gateway; below, who changed what.
function reloading(place) {
  const outcome = h("div", { role: "status" }), rows = h("tbody", {});
  const table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("config.history") }, h("table", {},
    h("thead", {}, h("tr", {}, ["config.when", "config.by", "config.outcome", "config.what"].map((key) => h("th", { scope: "col" }, t(key))))), rows));
  const none = h("p", { class: "soft" }, t("config.none"));
  const past = () => get("config/history").then(({ changes }) => {
    none.hidden = changes.length > 0;
    table.hidden = changes.length === 0;
    rows.replaceChildren(...changes.slice(0, 20).map((one) => h("tr", {}, h("td", {}, when(one.at_ms)), h("td", {}, one.by), h("td", {}, known("outcome", one.outcome)), h("td", { class: "long" }, one.text))));
  }).catch((refusal) => { none.hidden = false; none.textContent = refusal.message; table.hidden = true; });
  past();
  const reload = async () => {
    try {
      const told = await call("POST", "config/reload");
      const lines = [...told.changed.map(shown), ...told.needs_restart.map((each) => `${shown(each)} (${t("config.restart")})`), told.objection].filter(Boolean);
      outcome.replaceChildren(lines.length ? h("ul", {}, lines.map((line) => h("li", {}, line))) : h("p", {}, t("config.nothing")));
      if (told.changed.length) { place.replaceChildren(place.firstChild); show(place); announce(t("config.reloaded", { n: told.changed.length })); return; }
    } catch (refusal) {
      outcome.replaceChildren(h("p", { class: "problem" }, t("config.refused")), h("ul", {}, (refusal.problems.length ? refusal.problems : [{ text: refusal.message }]).map((one) => h("li", {}, [one.field, one.text].filter(Boolean).join(": ")))));
    }
    past();
  };
  return h("section", { class: "card" }, h("div", { class: "row apart" }, h("h2", {}, t("config.file")), h("button", { type: "button", onclick: reload }, t("config.reload"))),
    h("p", { class: "soft" }, t("config.reload.about")), outcome, h("h2", {}, t("config.history")), none, table);
}

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
        if (each.redacted || written(value) === written(each.value)) continue;
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
            : { value: written(each.value), hint, mode: typeof each.value === "number" ? "decimal" : undefined });
      }))));
    }
    form.element.append(form.whole, h("button", { class: "primary", type: "submit" }, t("config.check")));
    form.element.classList.add("stack");
    place.append(reloading(place));
    for (const each of settings.filter((one) => one.redacted)) form.fields.get(`${each.section}.${each.key}`).input.disabled = true;
    place.append(form.element, outcome);
  }).catch((refusal) => place.append(h("p", { class: "problem" }, refusal.message)));
}
