// All meters: values as they come, and what one does with a meter.
import { call, get, name as quoted } from "../api.js";
import { announce, h, keyed, setText } from "../dom.js";
import { dialog } from "../form.js";
import { age, known, number, t } from "../i18n.js";
import { ageOf, listen, now } from "../live.js";
import { reason, show as showBadge } from "../state.js";
import { editMeter } from "./meterform.js";

const SHOWN = 6;
const PHASES_OPEN = ["waiting", "running"];

function valuesTable(values) {
  return values.flatMap((one) => [h("span", { class: "k" }, one.key), h("span", { class: "v" }, one.value ?? "–"), h("span", { class: "u" }, one.unit)]);
}

function card(row) {
  const badge = h("span"), place = h("p", { class: "soft" }), values = h("div", { class: "values" }), when = h("p", { class: "soft" }), problem = h("p", { class: "problem" });
  const pause = h("button", {}), more = h("details", {}, h("summary", {}, t("meters.all")));
  const rest = h("div", { class: "values" });
  more.append(rest);
  let latest = row;
  const act = async (method, path, done) => {
    try { const told = await call(method, `meters/${quoted(row.name)}${path}`); announce([done, ...told.notes].join(" ")); } catch (refusal) { announce(refusal.message); }
  };
  pause.addEventListener("click", () => latest.paused ? act("POST", "/resume", t("meters.resumed", { name: row.name })) : act("POST", "/pause", t("meters.paused", { name: row.name })));
  const element = h("li", { class: "card", "data-meter": row.name },
    h("div", { class: "row apart" }, h("h2", {}, row.name), badge), place, problem, values, more, when,
    h("div", { class: "row" }, h("button", { "aria-label": t("meters.test.one", { name: row.name }), onclick: () => test(row.name) }, t("meters.test")), pause,
      h("button", { "aria-label": t("meters.edit.one", { name: row.name }), onclick: () => editMeter(row.name) }, t("meters.edit")),
      h("button", { class: "danger", "aria-label": t("meters.remove.one", { name: row.name }), onclick: () => remove(row.name, act) }, t("remove"))));
  return {
    element,
    update(next) {
      latest = next;
      showBadge(badge, "state", next.state);
      setText(place, [next.address, next.profile, next.rssi_dbm === null ? "" : `${number(next.rssi_dbm)} dBm`].filter(Boolean).join(" · "));
      setText(problem, reason(next));
      setText(when, next.read_ms === null ? t("meters.never") : `${t("meters.read", { age: age(ageOf(next.read_ms)) })} · ${t("meters.counts", { good: number(next.readings), bad: number(next.failed) })}`);
      setText(pause, next.paused ? t("meters.resume") : t("meters.pause"));
      pause.setAttribute("aria-label", t(next.paused ? "meters.resume.one" : "meters.pause.one", { name: next.name }));
      more.hidden = next.values.length <= SHOWN;
      if (values.dataset.ms !== String(next.read_ms)) {
        values.dataset.ms = String(next.read_ms);
        values.replaceChildren(...valuesTable(next.values.slice(0, SHOWN)));
        rest.replaceChildren(...valuesTable(next.values.slice(SHOWN)));
      }
    },
  };
}

function remove(name, act) {
  const box = dialog(t("meters.remove.ask", { name }), h("p", {}, t("meters.remove.about")), h("div", { class: "row" },
    h("button", { class: "danger", onclick: async () => { box.close(); await act("DELETE", "", t("meters.removed", { name })); } }, t("remove")),
    h("button", { onclick: () => box.close() }, t("cancel"))));
}

// Has the meter read now, by its own poller, and shows what came of it.
async function test(name) {
  const state = h("p", { role: "status" }, t("test.waiting")), body = h("div", {});
  let open = true;
  const box = dialog(t("test.title", { name }), state, body, h("div", { class: "row" }, h("button", { class: "primary", onclick: () => box.close() }, t("close"))));
  box.addEventListener("close", () => { open = false; });
  try {
    const began = Date.now();
    const { order } = await call("POST", `meters/${quoted(name)}/read`);
    let came = { phase: "waiting" };
    while (open && PHASES_OPEN.includes(came.phase)) came = await get(`meters/${quoted(name)}/read/${order}?wait_s=5`);
    if (came.phase === "done") {
      setText(state, t("test.done", { n: came.values.length, s: number(Math.max(0.1, (Date.now() - began) / 1000), 1) }));
      body.replaceChildren(h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("test.title", { name }) }, h("table", {},
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("test.what")), h("th", { scope: "col", class: "number" }, t("test.value")), h("th", { scope: "col" }, t("test.unit")))),
        h("tbody", {}, came.values.map((one) => h("tr", {}, h("th", { scope: "row" }, one.key, " ", h("span", { class: "under" }, one.obis)), h("td", { class: "number" }, one.value ?? "–"), h("td", {}, one.unit)))))));
    } else if (open) { state.className = "problem"; setText(state, `${t("test.failed")} ${came.error}`); }
  } catch (refusal) { state.className = "problem"; setText(state, refusal.message); }
}

function importCsv() {
  const outcome = h("div", { role: "status" }), update = h("input", { type: "checkbox", id: "csv-update" }), file = h("input", { type: "file", id: "csv-file", accept: ".csv,text/csv" });
  const box = dialog(t("csv.title"), h("p", { class: "soft" }, t("csv.about")),
    h("div", { class: "field" }, h("label", { for: "csv-file" }, t("csv.file")), file),
    h("div", { class: "field check" }, h("label", { for: "csv-update" }, update, t("csv.update"))), outcome,
    h("div", { class: "row" }, h("button", { class: "primary", onclick: async () => {
      if (!file.files.length) { outcome.replaceChildren(h("p", { class: "problem" }, t("csv.none"))); return; }
      try {
        const done = await call("POST", `meters.csv?update=${update.checked}`, await file.files[0].text(), { text: true });
        box.close();
        announce(t("csv.done", { added: done.added.length, updated: done.updated.length }));
      } catch (refusal) {
        outcome.replaceChildren(h("p", { class: "problem" }, refusal.message), h("ul", {}, refusal.problems.map((one) => h("li", {}, one.text))));
      }
    } }, t("csv.do")), h("button", { onclick: () => box.close() }, t("cancel"))));
}

export function show(place) {
  const list = h("ul", { class: "grid wide", id: "meters" }), none = h("p", { class: "empty" }, t("meters.none")), shown = h("p", { class: "soft", role: "status" });
  list.setAttribute("role", "list");
  const filter = h("input", { type: "search", id: "filter", class: "grow", placeholder: t("meters.filter"), "aria-label": t("meters.filter"), oninput: () => update() });
  place.append(h("div", { class: "row" }, h("button", { class: "primary", onclick: () => editMeter(null) }, t("meters.add")), filter,
    h("button", { onclick: importCsv }, t("csv.import")), h("a", { class: "button", href: "/api/v1/meters.csv", download: "meters.csv" }, t("csv.export"))), none, shown, list);

  function update() {
    const wanted = filter.value.trim().toLowerCase();
    const rows = [...now.meters.values()].filter((row) => !wanted || `${row.name} ${row.address} ${row.profile} ${row.state} ${known("state", row.state)}`.toLowerCase().includes(wanted))
      .sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
    none.hidden = now.meters.size > 0;
    setText(shown, wanted ? t("meters.shown", { n: number(rows.length), of: number(now.meters.size) }) : "");
    keyed(list, rows, (row) => row.name, card);
  }
  update();
  return listen(update);
}
