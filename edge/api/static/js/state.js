// How states and grades look: colour, shape and word together, so that none of them is needed alone.
import { h } from "./dom.js";
import { known } from "./i18n.js";

const LOOKS = { reading: "good", late: "fair", failing: "bad", resting: "fair", starting: "calm", refused: "bad", paused: "calm",
  excellent: "good", good: "good", fair: "fair", poor: "bad", lost: "bad", unknown: "calm",
  ok: "good", trouble: "bad", critical: "bad", major: "bad", minor: "fair", warning: "fair", indeterminate: "calm" };

export const badge = (kind, word) => h("span", { class: `badge is-${LOOKS[word] || "calm"}` }, known(kind, word));
// Why a meter is not read, without its own name, which stands beside it.
export const reason = (row) => (row.problem || row.last_failure || row.not_read || "").replace(`meter ${row.name}: `, "");
export const gradeWord = (grade) => known("grade", grade);

// A badge in a place that is kept: only a change is drawn.
export function show(place, kind, word) {
  if (place.dataset.word === word) return;
  place.dataset.word = word;
  place.replaceChildren(badge(kind, word));
}
