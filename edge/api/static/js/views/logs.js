// The newest log lines, and how much the log says.
import { get } from "../api.js";
import { h } from "../dom.js";
import { known, t, time } from "../i18n.js";
import { levelControl } from "./loglevel.js";

const EVERY_MS = 4000;

export function show(place) {
  const list = h("ol", { class: "log" }), control = levelControl(() => again());
  let level = "info", seen = "";
  const choice = h("fieldset", { class: "choice" }, h("legend", { class: "label" }, t("logs.level")), ["debug", "info", "warning", "error"].map((each) => h("label", {},
    h("input", { type: "radio", name: "level", checked: each === level, onchange: () => { level = each; again(); } }), h("span", {}, known("level", each)))));
  place.append(control.element, choice, h("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": t("nav.logs") }, list));

  async function update() {
    const told = await get(`logs?level=${level}&most=200`), lines = told.lines;
    control.show(told.level);
    const print = JSON.stringify([level, lines.length, lines[lines.length - 1]]);
    if (print === seen) return;
    seen = print;
    list.replaceChildren(...lines.reverse().map((line) => h("li", {}, h("span", { class: "when" }, time(line.at_ms), " "),
      h("b", { class: line.level }, known("level", line.level)), " ", line.text, " ", h("span", { class: "when" }, line.source))));
    if (!lines.length) list.append(h("li", {}, t("logs.none")));
  }
  const again = () => update().catch(() => {});
  again();
  const timer = setInterval(again, EVERY_MS);
  return () => clearInterval(timer);
}
