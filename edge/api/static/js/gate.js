// First use and login.
import { call } from "./api.js";
import { $, h } from "./dom.js";
import { Form } from "./form.js";
import { t } from "./i18n.js";

export function gate(setup, enter) {
  let button;
  const form = new Form(async (self) => {
    self.clear();
    if (setup && self.value("password") !== self.value("again")) {
      self.show({ problems: [{ field: "again", text: t("setup.differ") }] });
      return;
    }
    button.disabled = true;
    try {
      enter(setup ? await call("POST", "setup", { code: self.value("code"), password: self.value("password") }, { quiet: true })
        : await call("POST", "session", { password: self.value("password") }, { quiet: true }));
    } catch (refusal) {
      self.show({ problems: refusal.problems.length ? refusal.problems
        : [{ field: setup && refusal.status === 401 ? "code" : "password", text: refusal.status === 401 && !setup ? t("login.wrong") : refusal.message }] });
    } finally { button.disabled = false; }
  });
  button = h("button", { class: "primary", type: "submit" }, t(setup ? "setup.do" : "login.do"));
  form.element.append(
    ...(setup ? [form.field("code", t("setup.code"), { hint: t("setup.code.hint"), auto: "one-time-code", required: true })] : []),
    form.field("password", t(setup ? "setup.password" : "login.password"), { kind: "password", hint: setup ? t("setup.password.hint") : "", auto: setup ? "new-password" : "current-password", required: true }),
    ...(setup ? [form.field("again", t("setup.again"), { kind: "password", auto: "new-password", required: true })] : []),
    form.whole, h("div", { class: "row apart" }, button,
      h("button", { type: "button", onclick: () => gate(!setup, enter) }, t(setup ? "setup.have" : "login.forgotten"))));
  $("main").replaceChildren(h("div", { class: "card gate" }, h("h1", {}, t(setup ? "setup.title" : "login.title")),
    h("p", { class: "soft" }, t(setup ? "setup.about" : "login.about")), setup ? h("pre", {}, "halow-gateway page code") : null, form.element));
  form.element.querySelector("input").focus();
}
