// The ring and what waits in it, over the last hour.
import { get } from "../api.js";
import { h, setText } from "../dom.js";
import { age, number, size, t } from "../i18n.js";
import { counts, key } from "../plot.js";
import { show as showBadge } from "../state.js";

const STREAMS = ["alarm", "billing", "instant"], EVERY_MS = 5000;
const COLUMNS = ["backlog", "acknowledged", "lost", "size_bytes", "quota_bytes", "written_bytes"];

export function show(place) {
  const badge = h("span"), total = h("span", { class: "big" }), problem = h("p", { class: "problem" }), drawing = h("div", {}), body = h("tbody", {}), uplink = h("p", { class: "soft" });
  place.append(
    h("section", { class: "card" }, h("div", { class: "row apart" }, h("h2", {}, t("ring.waiting")), badge), h("p", {}, total, h("span", { class: "unit" }, t("ring.records"))), problem, uplink),
    h("section", {}, h("h2", {}, t("ring.hour")), drawing, h("ul", { class: "legend" }, STREAMS.map((stream, index) => h("li", {}, key(index), t(`stream.${stream}`))))),
    h("section", { class: "card" }, h("h2", {}, t("ring.streams")), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("ring.streams") }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("ring.stream")), COLUMNS.map((column) => h("th", { scope: "col", class: "number" }, t(`ring.${column}`))))), body))));

  async function update() {
    const { ring, uplink: up, history } = await get("ring");
    setText(total, number(STREAMS.reduce((sum, stream) => sum + (ring.backlog[stream] || 0), 0)));
    setText(problem, ring.problem || "");
    showBadge(badge, "state", ring.healthy ? "ok" : "trouble");
    setText(uplink, !up.enabled ? t("ring.off") : up.connected ? t("ring.sending", { n: number(up.acked_records), age: age(up.for_s) }) : `${t("ring.away")} ${up.last_error || ""}`);
    const series = STREAMS.map((_, index) => history.map((row) => [row[0], row[index + 1]]));
    drawing.replaceChildren(counts(drawing, series, { label: t("ring.plot", { n: history.length ? number(history[history.length - 1].slice(1).reduce((a, b) => a + b)) : 0 }) }));
    body.replaceChildren(...STREAMS.map((name) => h("tr", {}, h("th", { scope: "row" }, t(`stream.${name}`)), COLUMNS.map((column) => {
      const value = column === "backlog" ? ring.backlog[name] : ring.streams[name][column];
      return h("td", { class: "number" }, column.endsWith("bytes") ? size(value) : number(value));
    }))));
  }
  const again = () => update().catch(() => {});
  again();
  const timer = setInterval(again, EVERY_MS);
  return () => clearInterval(timer);
}
