// One screen: is it well, does it read, does it send, how is the air.
import { h, setText } from "../dom.js";
import { age, known, number, t } from "../i18n.js";
import { listen, now } from "../live.js";
import { reason, show as showBadge } from "../state.js";

const MOST = 10, FEW = 2;

// A line each, but one for all of whom the same is to be said: a hundred meters behind one dead link are one thing to look at.
function lines(worries) {
  const groups = new Map();
  for (const one of worries) groups.set(one.what, [...(groups.get(one.what) || []), one]);
  const all = [...groups.values()].flatMap((same) => same.length > FEW
    ? [t("overview.many", { n: number(same.length), what: same[0].what, who: same[0].why ? `${same[0].who} (${same[0].why})` : same[0].who, more: number(same.length - 1) })]
    : same.map((one) => `${one.who}: ${one.what}${one.why ? `: ${one.why}` : ""}`));
  return all.length > MOST ? [...all.slice(0, MOST - 1), t("overview.more", { n: number(all.length - MOST + 1) })] : all;
}

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
    const link = (one) => `${t("overview.link")} ${known("grade", one.grade ?? one.link_grade)}`;
    const told = lines([
      ...now.alarms.filter((alarm) => !alarm.acknowledged_by).map((alarm) => ({ who: alarm.device || now.gateway.name, what: alarm.name, why: alarm.detail })),
      ...rows.filter((row) => row.problem || row.last_failure).map((row) => ({ who: row.name, what: known("state", row.state), why: reason(row) })),
      ...(weak.length ? weak.map((row) => ({ who: row.name, what: link(row) })) : now.peers.filter(faint).map((peer) => ({ who: peer.mac, what: link(peer) })))]);
    if (worries.dataset.lines !== told.join("\n")) {
      worries.dataset.lines = told.join("\n");
      worries.replaceChildren(...(told.length ? told : [t("overview.none")]).map((line) => h("li", {}, line)));
    }
  }
  update();
  return listen(update);
}
