// The gateway as it is now: begins with everything, goes on with what changes, and tells who listens.
export const now = { connected: false, elsewhere: false, skew: 0, gateway: {}, uplink: {}, ring: { backlog: {} }, radio: {}, peers: [], alarms: [], meters: new Map(), recent: new Map(), best: new Map() };
const RECENT = 180;
const listeners = new Set();
let source;

export function listen(call) {
  listeners.add(call);
  return () => listeners.delete(call);
}
const tell = (what) => { for (const call of [...listeners]) call(what); };

// How old something of the gateway's own clock is, in seconds, whatever the phone thinks of the time.
export const ageOf = (ms) => ms === null ? null : (Date.now() + now.skew - ms) / 1000;

export function start(ended) {
  stop();
  source = new EventSource("/api/v1/events");
  source.addEventListener("all", (event) => { now.meters.clear(); take(JSON.parse(event.data)); });
  source.addEventListener("news", (event) => take(JSON.parse(event.data)));
  // This page is open too often, and a newer one is looked at: this one goes on when somebody comes back to it.
  source.addEventListener("elsewhere", () => {
    stop();
    now.elsewhere = true;
    tell("connection");
    addEventListener("focus", () => { if (now.elsewhere) start(ended); }, { once: true });
  });
  source.onerror = () => {
    const was = now.connected;
    now.connected = false;
    if (source.readyState === EventSource.CLOSED) { source = undefined; setTimeout(() => ended(), 3000); }
    if (was) tell("connection");
  };
}

export function stop() {
  if (source) source.close();
  source = undefined;
  now.connected = now.elsewhere = false;
}

function take(data) {
  const was = now.connected;
  now.skew = data.now_ms - Date.now();
  for (const part of ["gateway", "uplink", "ring", "radio", "peers", "alarms"]) now[part] = data[part];
  for (const row of data.meters) now.meters.set(row.name, row);
  for (const gone of data.gone) now.meters.delete(gone);
  for (const peer of data.peers) samples(peer);
  now.connected = true;
  tell(was ? "news" : "connection");
}

function samples(peer) {
  const kept = now.recent.get(peer.mac) || [];
  const last = kept.length ? kept[kept.length - 1][0] : 0;
  for (const sample of peer.recent) if (sample[0] > last) kept.push(sample);
  now.recent.set(peer.mac, kept.slice(-RECENT));
}

// What the gateway remembers from before this page was opened.
export function before(peers) {
  for (const peer of peers) {
    const kept = now.recent.get(peer.mac) || [];
    const first = kept.length ? kept[0][0] : Infinity;
    now.recent.set(peer.mac, [...peer.recent.filter((sample) => sample[0] < first), ...kept].slice(-RECENT));
  }
}
