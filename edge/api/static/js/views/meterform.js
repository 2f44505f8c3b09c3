// Adding a meter, and changing one: what is left empty is the profile's answer.
import { call, get, name as quoted } from "../api.js";
import { announce, h } from "../dom.js";
import { Form, dialog } from "../form.js";
import { t } from "../i18n.js";

const NUMBERS = ["port", "client_sap", "server_logical", "server_physical", "address_bytes", "security_suite", "interval_s"];
const CHOICES = {
  framing: ["wrapper", "hdlc"], authentication: ["none", "lls", "hls-md5", "hls-sha1", "hls-sha256", "hls-gmac"],
  security: ["none", "authenticated", "encrypted", "both"], security_suite: ["0", "1", "2"], address_bytes: ["1", "2", "4"],
  ciphering: ["general-glo", "glo", "general-ded", "ded"], opening: ["direct", "mode-e"],
};
const ADVANCED = ["server_logical", "server_physical", "address_bytes", "interval_s", "mac", "security", "security_suite", "ciphering", "meter_title", "client_title", "counter_obis", "opening", "device_address"];
const SECRETS = ["encryption_key", "authentication_key"];
const WIRED = ["name", "host", "profile"];

export async function editMeter(name) {
  let shown = null, profiles = {};
  try {
    profiles = (await get("profiles")).profiles;
    if (name) shown = await get(`meters/${quoted(name)}`);
  } catch (refusal) { announce(refusal.message); return; }
  const before = shown ? shown.settings : { profile: "generic-three-phase" };
  const form = new Form((self) => save(self));
  const place = h("div", {});
  let box;

  const field = (key) => {
    const own = before[key] ?? "", usual = profiles[before.profile]?.[key];
    const hint = t(`meter.${key}.hint`);
    const told = { hint: hint === `meter.${key}.hint` ? "" : hint, value: own };
    if (CHOICES[key]) return form.field(key, t(`meter.${key}`), { ...told, kind: "select", options: [["", t("meter.usual", { value: usual ?? "–" })], ...CHOICES[key].map((each) => [each, each])] });
    return form.field(key, t(`meter.${key}`), { ...told, placeholder: usual === undefined || usual === null ? "" : String(usual), mode: NUMBERS.includes(key) ? "decimal" : undefined, required: WIRED.includes(key) });
  };
  const advanced = h("details", {}, h("summary", {}, t("meter.advanced")), h("div", { class: "formgrid" }, ADVANCED.map(field),
    SECRETS.map((key) => form.field(key, t(`meter.${key}`), { kind: "password", auto: "off", hint: shown?.keys_set.includes(key) ? t("meter.set") : t("meter.key.hint") }))));
  form.element.append(
    h("div", { class: "formgrid" }, name ? null : field("name"), field("host"), field("port"),
      form.field("profile", t("meter.profile"), { kind: "select", value: before.profile, options: Object.entries(profiles).map(([each, of]) => [each, `${each} (${of.vendor})`]), hint: t("meter.profile.hint") }),
      field("framing"), field("authentication"), field("client_sap"),
      form.field("password", t("meter.password"), { kind: "password", auto: "off", hint: shown?.password_set ? t("meter.set") : t("meter.password.hint") })),
    advanced, form.whole,
    h("div", { class: "row" }, h("button", { class: "primary", type: "submit" }, t(name ? "meter.save" : "meter.add")), h("button", { type: "button", onclick: () => box.close() }, t("cancel"))));

  function told(self) {
    const said = {}, wrong = [];
    for (const key of [...(name ? [] : ["name"]), "host", "port", "profile", "framing", "authentication", "client_sap", ...ADVANCED]) {
      const text = self.value(key).trim(), was = before[key] ?? "";
      if (text === String(was)) continue;
      if (text === "" && (WIRED.includes(key) || (key === "port" && name))) { wrong.push({ field: key, text: t("meter.needed") }); continue; }
      if (NUMBERS.includes(key) && text !== "" && !Number.isFinite(Number(text.replace(",", ".")))) { wrong.push({ field: key, text: t("meter.number") }); continue; }
      if (text === "" && !name) continue;
      said[key] = text === "" ? (before[key] === "" || ["mac", "meter_title", "client_title", "counter_obis", "device_address"].includes(key) ? "" : null) : NUMBERS.includes(key) ? Number(text.replace(",", ".")) : text;
    }
    if (!name) for (const key of WIRED) {
      const text = self.value(key).trim();
      if (text) said[key] = text; else wrong.push({ field: key, text: t("meter.needed") });
    }
    return [said, wrong];
  }

  async function save(self) {
    self.clear();
    const [said, wrong] = told(self);
    if (wrong.length) { self.show({ problems: wrong }); return; }
    const secrets = Object.fromEntries(["password", ...SECRETS].filter((key) => self.value(key)).map((key) => [key, self.value(key)]));
    try {
      const who = name || said.name, notes = [];
      if (!name) { if (secrets.password) { said.password = secrets.password; delete secrets.password; } notes.push(...(await call("POST", "meters", said)).notes); }
      else if (Object.keys(said).length) notes.push(...(await call("PATCH", `meters/${quoted(who)}`, said)).notes);
      if (Object.keys(secrets).length) notes.push(...(await call("PUT", `meters/${quoted(who)}/secrets`, secrets)).notes);
      box.close();
      announce([t(name ? "meter.saved" : "meter.added", { name: who }), ...notes].join(" "));
    } catch (refusal) { self.show(refusal); }
  }

  place.append(form.element);
  box = dialog(name ? t("meter.edit", { name }) : t("meter.new"), place);
}
