// Lines over time as SVG: grade bands behind a signal, or several counts with a legend.
import { s } from "./dom.js";
import { number, time } from "./i18n.js";

const LEFT = 58, RIGHT = 12, TOP = 12, BOTTOM = 26;

// As wide as its place, so that its words are as large as the page's.
const widthOf = (place) => Math.max(300, Math.min(1000, place.clientWidth || 640));

function frame(width, height, label) {
  return s("svg", { class: "plot", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
}

function path(points, x, y) {
  return points.map(([at, value], index) => `${index ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("");
}

export function signal(place, samples, bands, best, { label, gradeWord, spanMs = 180000, endMs }) {
  const width = widthOf(place), height = Math.min(320, Math.max(230, width * 0.6)), bottom = height - BOTTOM;
  const low = Math.min(-100, ...samples.map((one) => one[1] - 3)), high = Math.max(-45, ...samples.map((one) => one[1] + 3));
  const end = Math.max(endMs, samples.length ? samples[samples.length - 1][0] : 0), begin = end - spanMs;
  const x = (at) => LEFT + (at - begin) / spanMs * (width - LEFT - RIGHT);
  const y = (dbm) => TOP + (high - Math.min(high, Math.max(low, dbm))) / (high - low) * (bottom - TOP);
  const plot = frame(width, height, label);
  let from = high;
  for (const band of [...bands, { grade: "lost", from_dbm: low }]) {
    const to = Math.max(low, Math.min(from, band.from_dbm));
    if (from - to <= 0) continue;
    plot.append(s("rect", { class: `band-${band.grade}`, x: LEFT, y: y(from), width: width - LEFT - RIGHT, height: y(to) - y(from) }));
    if (y(to) - y(from) > 16) plot.append(s("text", { x: LEFT + 8, y: y(from) + 16 }, gradeWord(band.grade)));
    if (y(to) - y(from) > 12) plot.append(s("text", { x: LEFT - 8, y: y(to) + 4, "text-anchor": "end" }, number(Math.round(to))));
    from = to;
  }
  if (best !== null && best !== undefined) plot.append(s("line", { class: "best", x1: LEFT, x2: width - RIGHT, y1: y(best), y2: y(best) }));
  const shown = samples.filter((one) => one[0] >= begin);
  if (shown.length) {
    plot.append(s("path", { class: "trace c1", d: path(shown, x, y) }));
    const [at, dbm] = shown[shown.length - 1];
    plot.append(s("circle", { class: "now", cx: x(at), cy: y(dbm), r: 8 }));
  }
  plot.append(s("text", { x: LEFT, y: height - 8 }, time(begin)), s("text", { x: width - RIGHT, y: height - 8, "text-anchor": "end" }, time(end)));
  return plot;
}

export function counts(place, series, { label }) {
  const width = widthOf(place), height = 240, bottom = height - BOTTOM;
  const all = series.flat();
  const begin = all.length ? all[0][0] : 0, end = Math.max(begin + 1, ...all.map((one) => one[0]));
  const top = nice(Math.max(1, ...all.map((one) => one[1])));
  const x = (at) => LEFT + (at - begin) / (end - begin) * (width - LEFT - RIGHT);
  const y = (value) => bottom - value / top * (bottom - TOP);
  const plot = frame(width, height, label);
  for (const share of [0, 0.5, 1]) {
    plot.append(s("line", { class: "axis", x1: LEFT, x2: width - RIGHT, y1: y(top * share), y2: y(top * share) }),
      s("text", { x: LEFT - 8, y: y(top * share) + 5, "text-anchor": "end" }, number(top * share)));
  }
  series.forEach((points, index) => { if (points.length) plot.append(s("path", { class: `trace c${index + 1}`, d: path(points, x, y) })); });
  if (all.length) plot.append(s("text", { x: LEFT, y: height - 8 }, time(begin)), s("text", { x: width - RIGHT, y: height - 8, "text-anchor": "end" }, time(end)));
  return plot;
}

export const key = (index) => s("svg", { viewBox: "0 0 30 8", class: "plot-key", "aria-hidden": "true" }, s("path", { class: `trace c${index + 1}`, d: "M0 4H30" }));

function nice(value) {
  const step = 10 ** Math.floor(Math.log10(value));
  return [2, 4, 10].map((factor) => factor * step).find((limit) => limit >= value);
}
