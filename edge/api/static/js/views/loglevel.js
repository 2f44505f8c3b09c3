// How much the log says: all of it or one part, for a while or until the next start, and the way back.
import { call } from "../api.js";
import { announce, h } from "../dom.js";
import { Form } from "../form.js";
import { known, minute, t } from "../i18n.js";

const PARTS = ["", "meters", "uplink", "radio", "ring"], LEVELS = ["debug", "info", "warning", "error"], TIMES = [1800, 7200, 86400, 0];
const DEFAULT = "default";
const partWord = (part) => t(part ? `logs.part.${part}` : "logs.part.all");

// What is in force, a line each, with a button back where it is not what is usual.
function lines(level, change) {
  const rows = [{ part: "", level: level.level, left_s: level.left_s, own: level.level !== level.settled }, ...level.parts.map((each) => ({ ...each, own: true }))];
  return rows.map((each) => h("li", { class: "row apart" },
    h("span", {}, h("strong", {}, `${partWord(each.part)}: ${known("level", each.level)}`), " ",
      each.own ? t(each.left_s === null ? "logs.until.start" : "logs.until", { at: each.left_s === null ? "" : minute(Date.now() + each.left_s * 1000) }) : t("logs.usual")),
    each.own ? h("button", { type: "button", "data-part": each.part, "aria-label": t("logs.back.one", { part: partWord(each.part) }), onclick: () => change({ level: DEFAULT, part: each.part }) }, t("logs.back")) : null));
}

export function levelControl(changed) {
  const state = h("ul", { class: "plain" }), summary = h("summary", {});
  let seen = "", form;

  function show(level) {
    const print = JSON.stringify([level.level, level.settled, level.left_s === null, level.parts.map((each) => [each.part, each.level, each.left_s === null])]);
    if (print === seen) return;
    seen = print;
    summary.textContent = [t("logs.says", { level: known("level", level.level) }), ...level.parts.map((each) => `${partWord(each.part)}: ${known("level", each.level)}`)].join(" · ");
    state.replaceChildren(...lines(level, change));
  }

  async function change(body) {
    try {
      const level = await call("PUT", "logs/level", body);
      seen = "";
      show(level);
      announce(t(body.level === DEFAULT ? "logs.is.back" : "logs.changed", { part: partWord(body.part), level: known("level", body.level) }));
      if (body.level === DEFAULT) form.element.querySelector("select").focus();      // the button that was pressed is gone
      changed();
    } catch (refusal) { form.show(refusal); }
  }

  form = new Form((self) => { self.clear(); change({ part: self.value("part"), level: self.value("level"), for_s: Number(self.value("for_s")) }); });
  form.element.append(
    h("div", { class: "formgrid" },
      form.field("part", t("logs.part"), { kind: "select", options: PARTS.map((each) => [each, partWord(each)]) }),
      form.field("level", t("logs.from"), { kind: "select", value: LEVELS[0], options: LEVELS.map((each) => [each, known("level", each)]) }),
      form.field("for_s", t("logs.for"), { kind: "select", value: TIMES[0], options: TIMES.map((each) => [each, t(`logs.for.${each}`)]) })),
    form.whole, h("div", { class: "row" }, h("button", { class: "primary", type: "submit" }, t("logs.set"))));
  const element = h("details", { class: "card", id: "log-level" }, summary, h("div", { class: "stack inside" }, h("p", { class: "soft" }, t("logs.about")), state, form.element));
  return { element, show };
}
