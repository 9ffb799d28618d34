// Filters: one list of values for every axis that has several, and a search in names and keys.

function passes(row, except = "") {
  for (const [name, values] of state.filters) {
    if (name !== except && values.size && !values.has(String(row[name]))) return false;
  }
  const text = state.text.trim().toLowerCase();
  return !text || text.split(/\s+/).every((word) => row.key.toLowerCase().includes(word));
}

const filtered = () => LAYERS.filter((row) => passes(row));

/** The setting that charts show: the chosen one, or the first that the filters leave. */
function shownSetting(rows) {
  if (!rows.length || rows.some((row) => row.setting === state.setting)) return state.setting;
  return rows[0].setting;
}

const wordOf = (name, value) => (name === "nm" && value === "0" ? "no masks" : value);

function valuesOf(name) {
  const all = [...LAYERS, ...FAILED];
  const values = [...new Set(all.map((row) => row[name]))];
  if (typeof values[0] === "number") values.sort((one, other) => one - other);
  return values.map(String);
}

function makeFilters(host) {
  const search = el("input", {
    type: "search", placeholder: "Search variants and cases", "aria-label": "Search variants and cases", value: state.text,
    input: () => { state.text = search.value; state.page = {}; changed("rows"); },
  });
  const boxes = VARIED.map((name) => makeFilter(name));
  const count = el("output", { class: "count", "aria-live": "polite" });
  const reset = el("button", { type: "button", class: "quiet", click: clearFilters }, "Clear filters");
  host.replaceChildren(search, ...boxes.map((box) => box.node), reset, count);
  const draw = () => {
    const kept = filtered().length;
    if (document.activeElement !== search) search.value = state.text;
    boxes.forEach((box) => box.draw());
    reset.hidden = !state.filters.size && !state.text;
    count.textContent = kept === LAYERS.length ? plural(kept, "row") : `${fixed(kept)} of ${plural(LAYERS.length, "row")}`;
  };
  onChange((what) => (what.has("rows") || what.has("all")) && draw());
  draw();
}

function clearFilters() {
  state.filters.clear();
  state.text = "";
  state.page = {};
  changed("rows");
}

function makeFilter(name) {
  const values = valuesOf(name);
  const boxes = values.map((value) => el("input", { type: "checkbox", value, change: toggled }));
  const label = el("span", { class: "chosen" });
  const summary = el("summary", {}, el("span", { class: "axis" }, name), label);
  const list = el("div", { class: "values", role: "group", "aria-label": name },
    boxes.map((box, k) => el("label", {}, box, wordOf(name, values[k]))));
  const node = el("details", { class: "filter", "data-axis": name }, summary, list);
  function toggled() {
    const chosen = boxes.filter((box) => box.checked).map((box) => box.value);
    if (chosen.length && chosen.length < values.length) state.filters.set(name, new Set(chosen));
    else state.filters.delete(name);
    state.page = {};
    changed("rows");
  }
  function draw() {
    const chosen = state.filters.get(name);
    boxes.forEach((box) => (box.checked = chosen?.has(box.value) ?? false));
    const words = chosen ? [...chosen].map((value) => wordOf(name, value)) : [];
    label.textContent = !chosen ? "all" : words.length > 2 ? `${words.length} of ${values.length}` : words.join(", ");
    node.classList.toggle("on", Boolean(chosen));
  }
  return { node, draw };
}

// One list at a time, and a click elsewhere or Escape closes it.
document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details.filter[open]")) if (!open.contains(event.target)) open.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = document.querySelector("details.filter[open]");
  if (open) {
    open.open = false;
    open.querySelector("summary").focus();
  } else if (state.a || state.b) {
    state.a = state.b = null;
    changed("pair");
  }
});
