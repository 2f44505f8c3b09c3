// What there is.
import { get } from "../api.js";
import { h } from "../dom.js";
import { known, t } from "../i18n.js";

const word = (value) => value === null || value === "" ? "–" : value === true ? t("yes") : value === false ? t("no") : String(value);

export function show(place) {
  get("inventory").then((found) => {
    const facts = (part) => h("section", { class: "card" }, h("h2", {}, t(`inventory.${part}`)), h("dl", { class: "facts" },
      Object.entries(found[part]).map(([key, value]) => [h("dt", {}, known("fact", key)), h("dd", {}, word(value))])));
    place.append(h("div", { class: "grid wide" }, ["software", "board", "radio"].map(facts)),
      h("section", { class: "card" }, h("h2", {}, t("nav.meters")), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("nav.meters") }, h("table", {},
        h("thead", {}, h("tr", {}, ["name", "identity", "profile", "address"].map((key) => h("th", { scope: "col" }, known("fact", key))))),
        h("tbody", {}, found.meters.map((meter) => h("tr", {}, h("th", { scope: "row" }, meter.name), ["identity", "profile", "address"].map((key) => h("td", {}, word(meter[key]))))))))));
  }).catch((refusal) => place.append(h("p", { class: "problem" }, refusal.message)));
}
