// Turning an antenna: the signal of one peer as large as it goes, where it falls among the grades, and the best so far.
import { get } from "../api.js";
import { h, setText } from "../dom.js";
import { age, number, t } from "../i18n.js";
import { before, listen, now } from "../live.js";
import { signal } from "../plot.js";
import { gradeWord, show as showBadge } from "../state.js";

const TREND = 5, NAMES = 2, PILLS = 6;      // more peers than that stand in a list: the number has to stay on the screen

export function show(place) {
  let bands = [], chosen = "", meters = {}, best = new Map();
  const choice = h("fieldset", { class: "choice" }, h("legend", { class: "label" }, t("align.peer")));
  const rssi = h("span", { class: "rssi" }, "–"), grade = h("span"), trend = h("p", { class: "soft" }), top = h("span", { class: "big" }), heard = h("p", { class: "soft" });
  const drawing = h("div", {}), none = h("p", { class: "empty" }, t("align.none")), panel = h("div", { class: "stack", hidden: true },
    h("div", { class: "card align-head" },
      h("div", {}, h("p", { class: "label" }, t("align.now")), h("p", {}, rssi, h("span", { class: "unit" }, "dBm")), h("div", { class: "row" }, grade, trend)),
      h("div", {}, h("p", { class: "label" }, t("align.best")), h("p", {}, top, h("span", { class: "unit" }, "dBm")), heard,
        h("button", { onclick: () => { best.set(chosen, last()); update(); } }, t("align.again")))),
    drawing);
  place.append(h("p", { class: "soft" }, t("align.about")), choice, none, panel);

  const last = () => { const kept = now.recent.get(chosen) || []; return kept.length ? kept[kept.length - 1][1] : null; };

  function choices() {
    const macs = now.peers.map((peer) => peer.mac);
    if (choice.dataset.macs === macs.join()) return;
    choice.dataset.macs = macs.join();
    const word = (mac) => meters[mac] || mac, take = (mac) => { chosen = mac; update(); };
    macs.sort((a, b) => word(a).localeCompare(word(b), undefined, { numeric: true }));
    if (!macs.includes(chosen)) chosen = macs[0] || "";
    if (macs.length > PILLS) {
      const list = h("select", { "aria-label": t("align.peer"), onchange: () => take(list.value) }, macs.map((mac) => h("option", { value: mac, selected: mac === chosen }, word(mac))));
      choice.replaceChildren(choice.firstChild, list);
    } else choice.replaceChildren(choice.firstChild, ...macs.map((mac) => h("label", {}, h("input", { type: "radio", name: "peer", value: mac, checked: mac === chosen, onchange: () => take(mac) }),
      h("span", {}, word(mac)))));
  }

  function update() {
    choices();
    const peer = now.peers.find((one) => one.mac === chosen);
    none.hidden = Boolean(peer);
    panel.hidden = !peer;
    choice.hidden = !peer;
    if (!peer) return;
    const samples = now.recent.get(chosen) || [], value = last();
    const top_dbm = best.has(chosen) ? Math.max(best.get(chosen), value ?? -200) : peer.best_dbm;
    if (best.has(chosen)) best.set(chosen, top_dbm);
    setText(rssi, value === null ? "–" : number(value));
    setText(top, top_dbm === null ? "–" : number(top_dbm));
    showBadge(grade, "grade", peer.grade);
    const change = samples.length > TREND ? value - samples[samples.length - 1 - TREND][1] : 0;
    setText(trend, `${change > 0 ? "▲" : change < 0 ? "▼" : "■"} ${t(change > 0 ? "align.better" : change < 0 ? "align.worse" : "align.same")} (${change > 0 ? "+" : ""}${number(change)} dB)`);
    setText(heard, value !== null && top_dbm !== null && value < top_dbm ? t("align.below", { n: number(top_dbm - value), age: age(peer.age_s) }) : t("align.heard", { age: age(peer.age_s) }));
    drawing.replaceChildren(signal(drawing, samples, bands, top_dbm, { label: t("align.plot", { now: value ?? "–", grade: gradeWord(peer.grade), best: top_dbm ?? "–" }), gradeWord, endMs: Date.now() + now.skew }));
  }

  get("links").then((links) => {
    bands = links.bands;
    meters = Object.fromEntries(links.peers.filter((peer) => peer.meters.length).map((peer) => [peer.mac, peer.meters.length > NAMES ? `${peer.meters.slice(0, NAMES).join(", ")} +${peer.meters.length - NAMES}` : peer.meters.join(", ")]));
    choice.dataset.macs = "?";
    before(links.peers);
    update();
  }).catch(() => {});
  update();
  return listen(update);
}
