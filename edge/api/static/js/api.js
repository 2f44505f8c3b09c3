// Calls the API. A refusal comes as Refused: its line for people, and what is wrong with which field.
let csrf = "";
let lost = () => {};

export class Refused extends Error {
  constructor(status, body) {
    super(body.error || `HTTP ${status}`);
    this.status = status;
    this.problems = body.problems || [];
    this.setup = Boolean(body.setup_required);
  }
}

export const onLost = (call) => { lost = call; };
export const trust = (who) => { csrf = who.csrf; };

export async function call(method, path, body, { text = false, quiet = false } = {}) {
  const headers = { "X-CSRF-Token": csrf };
  if (body !== undefined) headers["Content-Type"] = text ? "text/csv" : "application/json";
  let answer;
  try {
    answer = await fetch(`/api/v1/${path}`, { method, headers, body: body === undefined ? undefined : text ? body : JSON.stringify(body) });
  } catch (error) {
    throw new Refused(0, { error: `${error.message || error}` });
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  if (answer.status === 401 && !quiet) lost(told);
  throw new Refused(answer.status, told);
}

export const get = (path, options) => call("GET", path, undefined, options);
export const name = (text) => encodeURIComponent(text);
