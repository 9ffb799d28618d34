// The page comes together: theme, filters, charts, tables.

const byId = (id) => document.getElementById(id);

function applyTheme() {
  if (state.theme) document.documentElement.dataset.theme = state.theme;
  else delete document.documentElement.dataset.theme;
  for (const button of document.querySelectorAll("[data-set-theme]")) {
    button.setAttribute("aria-pressed", String(button.dataset.setTheme === state.theme));
  }
}

function startTheme() {
  for (const button of document.querySelectorAll("[data-set-theme]")) {
    button.addEventListener("click", () => { state.theme = button.dataset.setTheme; applyTheme(); changed("theme"); });
  }
  applyTheme();
}

/** Charts of the shown setting, with the rows that pass the filters. */
function drawCharts() {
  const rows = filtered();
  const number = shownSetting(rows);
  const setting = RUN.settings[number];
  const own = rows.filter((row) => row.setting === number);
  byId("setting-title").textContent = RUN.settings.length > 1 ? "" : setting.title;
  const chooser = byId("setting-choice");
  if (chooser) chooser.value = String(number);
  byId("charts").hidden = !own.length;
  if (!own.length) return;
  drawLatency(byId("chart-latency"), own, setting);
  drawRoofline(byId("chart-roofline"), own, setting, state.view.roofline === "bandwidth" ? "bandwidth" : "roofline");
  drawLegend(byId("legend"), own);
}

function startSettings() {
  const host = byId("setting-chooser");
  if (RUN.settings.length < 2) return;
  const choice = el("select", { id: "setting-choice", "aria-label": "Setting of the charts", change: () => show(Number(choice.value)) },
    RUN.settings.map((setting, k) => el("option", { value: k }, setting.title)));
  const show = (number) => { state.setting = number; changed("view"); };
  const step = (by) => () => show((Number(choice.value) + by + RUN.settings.length) % RUN.settings.length);
  host.replaceChildren(
    el("button", { type: "button", "aria-label": "Previous setting", click: step(-1) }, "‹"), choice,
    el("button", { type: "button", "aria-label": "Next setting", click: step(1) }, "›"));
}

function startViews() {
  for (const button of document.querySelectorAll("[data-view]")) {
    const [chart, kind] = button.dataset.view.split(".");
    const draw = () => button.setAttribute("aria-pressed", String((state.view[chart] ?? "roofline") === kind));
    button.addEventListener("click", () => { state.view[chart] = kind; changed("view"); });
    onChange(draw);
    draw();
  }
}

function startRun() {
  makeFilters(byId("filters"));
  startSettings();
  startViews();
  const fastest = fastestRows();
  const common = { pickable: true, rows: filtered, order: inTableOrder };
  makeTable(byId("rows-latency"), { ...common, id: "latency", caption: "Latency and speed-up", columns: LATENCY_COLUMNS, best: (row) => fastest.has(row) });
  makeTable(byId("rows-bytes"), { ...common, id: "bytes", caption: "Byte ledger", columns: BYTE_COLUMNS });
  makeTable(byId("rows-measuring"), { ...common, id: "measuring", caption: "How each row was measured", columns: MEASURING_COLUMNS });
  if (FAILED.length) {
    makeTable(byId("rows-failed"), { id: "failed", caption: "Not measured", columns: FAILED_COLUMNS, rows: () => FAILED.filter((row) => passes(row)) });
  }
  const redraw = (what) => {
    const all = what.has("all");
    if (all || what.has("rows")) drawFootnotes(byId("footnotes"), filtered());
    if (all || what.has("rows") || what.has("pair") || what.has("view")) drawCharts();
    if (all || what.has("pair")) { drawPair(byId("pair-words"), byId("bar")); drawSamples(byId("chart-samples")); }
    if (all && byId("chart-forest")) drawForest(byId("chart-forest"), PAGE.forest);
  };
  onChange(redraw);
  redraw(new Set(["all"]));
  new IntersectionObserver(([seen]) => {
    barWanted = !seen.isIntersecting && seen.boundingClientRect.top < 0;
    drawPair(byId("pair-words"), byId("bar"));
  }).observe(byId("pair"));
}

/** The fastest MGLU of every nm and mask of a setting. */
function fastestRows() {
  const groups = d3.rollups(LAYERS.filter((row) => row.layer === "mglu"), (own) => d3.least(own, (row) => row.latency_us), (row) => `${row.setting}|${row.nm}|${row.mask}`);
  return new Set(groups.map(([, row]) => row));
}

/** Charts follow the width of the page. */
function followWidth() {
  let width = innerWidth;
  let waiting = 0;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(() => changed("all"), 120);
  });
}

readHash();
startTheme();
if (PAGE.comparison) startComparison();
if (RUN && RUN.settings.length) startRun();
followWidth();
addEventListener("hashchange", () => { readHash(); applyTheme(); changed("all"); });
performance.mark("drawn");
document.documentElement.dataset.ready = "yes";

// For whoever wants more ratios than a page shows: in the browser's console, by the keys of two cases.
globalThis.mglubench = { ratioOf: (base, own) => ratioOf(BY_ID.get(base), BY_ID.get(own)) };
