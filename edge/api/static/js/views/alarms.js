// Alarms that stand, newest first, and what has been.
import { call, get } from "../api.js";
import { announce, h, keyed, setText } from "../dom.js";
import { age, known, moment, t, when } from "../i18n.js";
import { ageOf, listen, now } from "../live.js";
import { badge } from "../state.js";

function card(alarm) {
  const since = h("p", { class: "soft" }), detail = h("p", {}), who = h("p", { class: "soft" });
  const button = h("button", { class: "primary", "aria-label": t("alarms.ack.one", { name: alarm.name, device: alarm.device || t("alarms.gateway") }), onclick: async () => {
    button.disabled = true;
    try {
      await call("POST", "alarms/acknowledge", { device: alarm.device, name: alarm.name });
      announce(t("alarms.acked", { name: alarm.name }));
    } catch (refusal) { announce(refusal.message); button.disabled = false; }
  } }, t("alarms.ack"));
  return {
    element: h("li", { class: "card", "data-alarm": alarm.name }, h("div", { class: "row apart" }, h("h2", {}, alarm.name), badge("severity", alarm.severity)),
      h("p", {}, h("strong", {}, alarm.device || t("alarms.gateway"))), detail, since, who, button),
    update(next) {
      setText(detail, next.detail);
      setText(since, t("alarms.since", { age: age(ageOf(next.raised_ms)), at: moment(next.raised_ms) }));
      setText(who, next.acknowledged_by ? t("alarms.by", { by: next.acknowledged_by }) : "");
      button.hidden = Boolean(next.acknowledged_by);
    },
  };
}

export function show(place) {
  const list = h("ul", { class: "grid wide", role: "list" }), none = h("p", { class: "empty" }, t("alarms.none")), past = h("tbody", {});
  place.append(none, list, h("section", { class: "card" }, h("h2", {}, t("alarms.history")), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("alarms.history") }, h("table", {},
    h("thead", {}, h("tr", {}, ["when", "change", "what", "device"].map((key) => h("th", { scope: "col" }, t(`alarms.${key}`))))), past))));
  let print = "?";

  async function history() {
    const { history: changes } = await get("alarms");
    past.replaceChildren(...changes.map((one) => h("tr", {}, h("td", {}, when(one.at_ms)), h("td", {}, known("change", one.state)), h("th", { scope: "row" }, one.alarm.name), h("td", {}, one.alarm.device || t("alarms.gateway")))));
  }

  function update() {
    none.hidden = now.alarms.length > 0;
    keyed(list, [...now.alarms].reverse(), (alarm) => `${alarm.device}\n${alarm.name}\n${alarm.raised_ms}`, card);
    const next = JSON.stringify(now.alarms.map((alarm) => [alarm.device, alarm.name, alarm.acknowledged_ms]));
    if (next !== print) { print = next; history().catch(() => {}); }
  }
  update();
  return listen(update);
}
