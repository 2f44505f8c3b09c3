// One screen: is it well, does it read, does it send, how is the air.
import { h, setText } from "../dom.js";
import { age, known, number, t } from "../i18n.js";
import { listen, now } from "../live.js";
import { show as showBadge } from "../state.js";

function tile(title) {
  const badge = h("span"), big = h("span", {}), unit = h("span", { class: "unit" }), note = h("p", { class: "soft" }), problem = h("p", { class: "problem" });
  return { badge, big, unit, note, problem, element: h("section", { class: "card" }, h("div", { class: "row apart" }, h("h2", {}, title), badge),
    h("p", { class: "big" }, big, unit), note, problem) };
}

export function show(place) {
  const meters = tile(t("overview.meters")), uplink = tile(t("overview.uplink")), ring = tile(t("overview.ring")), radio = tile(t("overview.radio")), clock = tile(t("overview.gateway"));
  const worries = h("ul", {});
  const box = h("section", { class: "card" }, h("h2", {}, t("overview.worries")), worries);
  place.append(box, h("div", { class: "grid" }, meters.element, uplink.element, ring.element, radio.element, clock.element));

  function update() {
    const rows = [...now.meters.values()];
    const active = rows.filter((row) => row.state !== "paused"), reading = active.filter((row) => row.state === "reading");
    setText(meters.big, `${number(reading.length)} / ${number(active.length)}`);
    setText(meters.unit, t("overview.reading"));
    setText(meters.note, t("overview.paused", { n: rows.length - active.length }));
    showBadge(meters.badge, "state", reading.length === active.length ? "ok" : "trouble");
    const up = now.uplink.connected, off = !now.uplink.enabled;
    setText(uplink.big, up ? t("overview.up") : t(off ? "overview.off" : "overview.down"));
    setText(uplink.note, up ? `${t("overview.for", { age: age(now.uplink.for_s) })} · ${t("overview.acked", { n: number(now.uplink.acked_records) })}` : "");
    setText(uplink.problem, up || off ? "" : now.uplink.last_error || "");
    showBadge(uplink.badge, "state", up ? "ok" : off ? "paused" : "trouble");
    const backlog = Object.values(now.ring.backlog || {}).reduce((sum, each) => sum + each, 0);
    setText(ring.big, number(backlog));
    setText(ring.unit, t("overview.waiting"));
    setText(ring.problem, now.ring.problem || "");
    showBadge(ring.badge, "state", now.ring.healthy ? "ok" : "trouble");
    const grades = ["excellent", "good", "fair", "poor", "lost", "unknown"];
    const worst = now.peers.map((peer) => peer.grade).sort((a, b) => grades.indexOf(b) - grades.indexOf(a))[0];
    setText(radio.big, now.radio.present ? number(now.peers.length) : "–");
    setText(radio.unit, t("overview.peers"));
    setText(radio.note, now.radio.present ? [now.radio.channel, now.radio.noise_dbm !== null ? t("overview.noise", { n: now.radio.noise_dbm }) : null,
      now.radio.duty_pct !== null && now.radio.duty_limit_pct ? t("overview.duty", { n: number(now.radio.duty_pct, 1), of: number(now.radio.duty_limit_pct, 1) }) : null].filter(Boolean).join(" · ") : now.radio.detail || "");
    showBadge(radio.badge, now.radio.present ? "grade" : "state", now.radio.present ? worst || "unknown" : now.radio.detail === "not watched" ? "paused" : "trouble");
    setText(clock.big, age(now.gateway.uptime_s));
    setText(clock.unit, t("overview.uptime"));
    setText(clock.note, `${now.gateway.clock_synchronised ? t("overview.clock.good") : t("overview.clock.bad")} · ${now.gateway.version || ""}`);
    const broken = [...(now.gateway.overdue || []).map((name) => t("overview.overdue", { name })), ...(now.gateway.registry && now.gateway.registry !== "ok" ? [now.gateway.registry] : [])];
    setText(clock.problem, broken.join(" "));
    showBadge(clock.badge, "state", broken.length ? "trouble" : "ok");
    const faint = (one) => ["poor", "lost"].includes(one.grade ?? one.link_grade), weak = rows.filter(faint);
    const lines = [...now.alarms.filter((alarm) => !alarm.acknowledged_by).map((alarm) => `${alarm.device || now.gateway.name}: ${alarm.name}, ${alarm.detail}`), ...rows.filter((row) => row.problem || row.last_failure).map((row) => `${row.name} (${known("state", row.state)}): ${row.problem || row.last_failure}`),
      ...(weak.length ? weak.map((row) => `${row.name}: ${t("overview.link")} ${known("grade", row.link_grade)}`) : now.peers.filter(faint).map((peer) => `${peer.mac}: ${known("grade", peer.grade)}`))].slice(0, 12);
    if (worries.dataset.lines !== lines.join("\n")) {
      worries.dataset.lines = lines.join("\n");
      worries.replaceChildren(...(lines.length ? lines : [t("overview.none")]).map((line) => h("li", {}, line)));
    }
  }
  update();
  return listen(update);
}
