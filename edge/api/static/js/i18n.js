// The words of the page: one table per language, and how numbers, ages and times are written.
const LANGUAGES = ["en", "es"];
let words = {};
export let language = "en";

export async function useLanguage(wanted, usual) {
  const asked = [wanted, ...navigator.languages.map((one) => one.slice(0, 2)), usual];
  language = asked.find((one) => LANGUAGES.includes(one)) || "en";
  words = await (await fetch(`/strings/${language}.json`)).json();
  document.documentElement.lang = language;
}

export function t(key, values) {
  const text = words[key] ?? key;
  return values ? text.replace(/\{(\w+)\}/g, (_, name) => values[name]) : text;
}
export const known = (prefix, word) => words[`${prefix}.${word}`] ?? word;
export const other = () => LANGUAGES[(LANGUAGES.indexOf(language) + 1) % LANGUAGES.length];
export const number = (value, digits = 0) => value === null || value === undefined ? "–"
  : value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
// The page's language as the reader's country writes it: 28/11 or 11/28.
const locale = () => navigator.languages.find((one) => one.startsWith(language)) || language;
export const time = (ms) => new Date(ms).toLocaleTimeString(locale(), { hour: "2-digit", minute: "2-digit", second: "2-digit" });
export const minute = (ms) => new Date(ms).toLocaleTimeString(locale(), { hour: "2-digit", minute: "2-digit" });
export const moment = (ms) => new Date(ms).toLocaleString(locale(), { dateStyle: "short", timeStyle: "medium" });
export const when = (ms) => new Date(ms).toDateString() === new Date().toDateString() ? time(ms) : moment(ms);

export function age(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 100) return t("age.s", { n: whole });
  if (whole < 6000) return t("age.min", { n: Math.round(whole / 60) });
  if (whole < 172800) return t("age.h", { n: Math.round(whole / 3600) });
  return t("age.d", { n: Math.round(whole / 86400) });
}

export function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  while (bytes >= 1024 && step < units.length - 1) { bytes /= 1024; step += 1; }
  return `${number(bytes, bytes < 10 && step ? 1 : 0)} ${units[step]}`;
}
