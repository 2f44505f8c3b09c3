// Boots the page: language, theme, who is logged in, which view.
import { call, get, onLost, trust } from "./api.js";
import { $, announce, h, s } from "./dom.js";
import { other, t, useLanguage } from "./i18n.js";
import * as live from "./live.js";
import { gate } from "./gate.js";
import { VIEWS } from "./views/index.js";

const kept = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
const keep = (key, value) => { try { localStorage.setItem(key, value); } catch { /* a browser that keeps nothing */ } };
let leave = () => {};
let inside = false;

function theme(wanted) {
  const dark = wanted === "dark" || (wanted !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  return dark;
}

function tools() {
  $("skip").textContent = t("skip");
  document.title = t("title");
  $("nav").setAttribute("aria-label", t("nav.label"));
  const dark = document.documentElement.dataset.theme === "dark";
  $("tools").replaceChildren(
    h("button", { class: "icon", lang: other(), "aria-label": t("language.other"), onclick: () => { keep("language", other()); location.reload(); } }, other().toUpperCase()),
    h("button", { class: "icon", "aria-label": t(dark ? "theme.light" : "theme.dark"), onclick: () => { keep("theme", dark ? "light" : "dark"); theme(kept("theme")); tools(); } }, s("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: dark ? "M12 8a4 4 0 1 0 .1 0M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19M5 19l1.4-1.4M17.6 6.4 19 5" : "M20 14.5A8.5 8.5 0 1 1 9.5 4a7 7 0 0 0 10.5 10.5z" }))),
    ...(inside ? [h("button", { class: "icon", "aria-label": t("logout"), onclick: logout }, s("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: "M12 3v9M7 6a8 8 0 1 0 10 0" })))] : []));
}

async function logout() {
  await call("DELETE", "session", undefined, { quiet: true }).catch(() => {});
  await out();
}

async function out() {
  leave();
  leave = () => {};
  inside = false;
  live.stop();
  $("nav").hidden = true;
  $("link-state").textContent = "";
  tools();
  const health = await get("health", { quiet: true }).catch(() => ({ setup_required: false }));
  gate(health.setup_required, enter);
}

function enter(who) {
  trust(who);
  inside = true;
  tools();
  $("nav").hidden = false;
  $("nav").replaceChildren(h("ul", {}, Object.entries(VIEWS).map(([id, view]) => h("li", {},
    h("a", { href: `#/${id}`, id: `nav-${id}` }, s("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" }, s("path", { d: view.icon })), h("span", {}, t(`nav.${id}`)), id === "alarms" ? h("span", { class: "count", id: "alarm-count", hidden: true }) : null)))));
  live.start(again);
  route();
}

// The stream has ended for good: is the session still on?
async function again() {
  try { trust(await get("session")); live.start(again); } catch (refused) { if (refused.status === 0) setTimeout(again, 5000); }
}

function route() {
  if (!inside) return;
  const wanted = location.hash.replace("#/", "").split("/")[0];
  const id = VIEWS[wanted] ? wanted : Object.keys(VIEWS)[0];
  leave();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.id === `nav-${id}`) { link.setAttribute("aria-current", "page"); link.scrollIntoView({ block: "nearest", inline: "center" }); } else link.removeAttribute("aria-current");
  }
  const place = h("div", { class: "stack", "data-view": id }, h("h1", {}, t(`nav.${id}`)));
  $("main").replaceChildren(place);
  document.title = `${t(`nav.${id}`)} · ${live.now.gateway.name || t("title")}`;
  leave = VIEWS[id].show(place) || (() => {});
}

function head() {
  $("gateway-name").textContent = live.now.gateway.name || t("title");
  const state = $("link-state");
  state.textContent = t(live.now.connected ? "live.on" : live.now.elsewhere ? "live.elsewhere" : "live.off");
  state.className = live.now.connected ? "" : "off";
}

function count() {
  const open = live.now.alarms.filter((alarm) => !alarm.acknowledged_by).length, place = $("alarm-count");
  if (!place) return;
  place.hidden = open === 0;
  place.textContent = String(open);
}

live.listen((what) => {
  count();
  if (what === "connection" && inside) { head(); if (!live.now.connected) announce(t(live.now.elsewhere ? "live.elsewhere" : "live.off")); }
});
onLost(out);
addEventListener("hashchange", () => { route(); $("main").focus({ preventScroll: true }); scrollTo(0, 0); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { theme(kept("theme")); tools(); });

theme(kept("theme"));
const health = await get("health", { quiet: true }).catch(() => ({ setup_required: false, language: "en" }));
await useLanguage(kept("language"), health.language);
tools();
try { enter(await get("session", { quiet: true })); } catch { gate(health.setup_required, enter); }
