// What a reader has chosen, kept in the address's hash, so that a link shows the same.

const state = { theme: "", setting: 0, text: "", filters: new Map(), sort: {}, page: {}, a: null, b: null, view: {}, verdict: "" };
const listeners = [];
// The page opens with the setting of its answer.
const FIRST_SETTING = BY_ID.get(PAGE.answer?.own)?.setting ?? 0;

function readHash() {
  const words = new URLSearchParams(location.hash.slice(1));
  const known = (name) => BY_ID.get(words.get(name)) ?? null;
  state.theme = ["light", "dark"].includes(words.get("theme")) ? words.get("theme") : "";
  const chosen = RUN ? RUN.settings.findIndex((setting) => setting.title === words.get("setting")) : 0;
  state.setting = chosen < 0 ? FIRST_SETTING : chosen;
  state.text = words.get("text") ?? "";
  state.verdict = words.get("verdict") ?? "";
  // Nothing said of rows: the page opens with its answer; an empty word says that a reader took them away.
  state.a = words.has("a") ? known("a") : (BY_ID.get(PAGE.answer?.own) ?? null);
  state.b = words.has("b") ? known("b") : (BY_ID.get(PAGE.answer?.base) ?? null);
  state.filters = new Map();
  state.sort = {};
  state.page = {};
  state.view = {};
  for (const [name, value] of words) {
    const [kind, what] = name.split(".");
    if (kind === "only" && VARIED.includes(what)) state.filters.set(what, new Set(value.split(",").map(decodeURIComponent)));
    if (kind === "sort") state.sort[what] = { key: value.replace(/^-/, ""), down: value.startsWith("-") };
    if (kind === "page") state.page[what] = Math.max(0, (parseInt(value, 10) || 1) - 1);
    if (kind === "view") state.view[what] = value;
  }
}

function hashOf() {
  const words = new URLSearchParams();
  if (state.theme) words.set("theme", state.theme);
  if (RUN && state.setting !== FIRST_SETTING) words.set("setting", RUN.settings[state.setting].title);
  if (state.text) words.set("text", state.text);
  if (state.verdict) words.set("verdict", state.verdict);
  for (const [name, values] of state.filters) words.set(`only.${name}`, [...values].map(encodeURIComponent).join(","));
  for (const [name, { key, down }] of Object.entries(state.sort)) words.set(`sort.${name}`, (down ? "-" : "") + key);
  for (const [name, page] of Object.entries(state.page)) if (page) words.set(`page.${name}`, page + 1);
  for (const [name, view] of Object.entries(state.view)) words.set(`view.${name}`, view);
  const answered = state.a?.id === PAGE.answer?.own && state.b?.id === PAGE.answer?.base;
  if (!answered) [["a", state.a], ["b", state.b]].forEach(([name, row]) => words.set(name, row ? row.id : ""));
  return words.toString();
}

/** Draw again after a change of the state, and keep it in the address. */
function changed(...what) {
  const hash = hashOf();
  try {
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  } catch {
    // Some viewers of artefacts forbid it: the page works, its state is not in the address.
  }
  for (const listener of listeners) listener(new Set(what));
}

/** Call back with what changed: ``rows``, ``pair``, ``view``, ``theme`` or ``all``. */
function onChange(callback) {
  listeners.push(callback);
}

/** Take a row as one of the two, or give it back. */
function pick(row) {
  if (state.a === row) [state.a, state.b] = [state.b, null];
  else if (state.b === row) state.b = null;
  else if (!state.a) state.a = row;
  else if (!state.b) state.b = row;
  else [state.a, state.b] = [state.b, row];
  changed("pair");
}
