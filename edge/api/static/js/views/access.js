// The password, and tokens for scripts.
import { call, get, name as quoted, trust } from "../api.js";
import { announce, h } from "../dom.js";
import { Form } from "../form.js";
import { known, moment, t } from "../i18n.js";

export function show(place) {
  const password = new Form(async (self) => {
    self.clear();
    try {
      trust(await call("PUT", "password", { old: self.value("old"), new: self.value("new") }, { quiet: true }));
      self.element.reset();
      announce(t("access.changed"));
    } catch (refusal) { self.show(refusal.status === 401 ? { problems: [{ field: "old", text: t("login.wrong") }] } : refusal); }
  });
  password.element.append(password.field("old", t("access.old"), { kind: "password", auto: "current-password" }),
    password.field("new", t("access.new"), { kind: "password", auto: "new-password", hint: t("setup.password.hint") }), password.whole,
    h("button", { class: "primary", type: "submit" }, t("access.change")));

  const made = h("div", { role: "status" }), list = h("tbody", {});
  const token = new Form(async (self) => {
    self.clear();
    try {
      const told = await call("POST", "tokens", { name: self.value("name"), role: self.value("role") });
      made.replaceChildren(h("p", {}, t("access.once", { name: told.name })), h("p", { class: "secret card" }, told.token));
      self.element.reset();
      await refresh();
    } catch (refusal) { self.show(refusal); }
  });
  token.element.append(h("div", { class: "formgrid" }, token.field("name", t("access.name"), { hint: t("access.name.hint") }),
    token.field("role", t("access.role"), { kind: "select", options: [["view", known("role", "view")], ["admin", known("role", "admin")]] })), token.whole,
  h("button", { type: "submit" }, t("access.make")));

  async function refresh() {
    const { tokens } = await get("tokens");
    list.replaceChildren(...tokens.map((each) => h("tr", {}, h("th", { scope: "row" }, each.name), h("td", {}, known("role", each.role)), h("td", {}, moment(each.made_ms)),
      h("td", {}, h("button", { class: "danger", "aria-label": t("access.remove.one", { name: each.name }), onclick: async () => { await call("DELETE", `tokens/${quoted(each.name)}`).catch((refusal) => announce(refusal.message)); refresh(); } }, t("remove"))))));
  }
  place.append(h("div", { class: "grid wide" }, h("section", { class: "card" }, h("h2", {}, t("access.password")), password.element),
    h("section", { class: "card" }, h("h2", {}, t("access.tokens")), h("p", { class: "soft" }, t("access.tokens.about")), token.element, made)),
  h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("access.tokens") }, h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("access.name")), h("th", { scope: "col" }, t("access.role")), h("th", { scope: "col" }, t("access.made")), h("th", { scope: "col" }, h("span", { class: "soft" }, t("remove"))))), list)));
  refresh().catch(() => {});
}
