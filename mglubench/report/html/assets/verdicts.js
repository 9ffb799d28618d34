// A comparison's verdicts, worst first: a table that filters by verdict, figure and text, and the largest changes drawn.

const JUDGED = (PAGE.comparison?.rows ?? []).map((row, place) => ({ ...row, place, worst: place }));
const GOOD = ["faster", "better", "new"];
const BAD = ["failed", "slower", "worse", "missing", "incomparable"];
const MARKS = { failed: "✕", slower: "▲", worse: "▲", missing: "?", incomparable: "≠", unclear: "~", faster: "▼", better: "▼", new: "+", same: "=" };
const MOST_CHANGES = 16;

const toneOf = (row) => (GOOD.includes(row.verdict) ? "good" : BAD.includes(row.verdict) && row.counts ? "bad" : "open");
const shift = (value) => (value === null || value === undefined ? "–" : signed(`${fixed(value * 100, Math.abs(value) < 0.1 ? 1 : 0)} %`));

/** A figure in its unit. */
function amountOf(row, value) {
  if (value === null) return "–";
  if (row.what === "latency_us") return time(value);
  if (row.what.startsWith("vs_")) return `${times(value)}×`;
  return row.what.includes("bytes") ? `${megabytes(value)} MB` : String(+value.toPrecision(4));
}

function verdictBadge(row) {
  return el("span", { class: `verdict ${toneOf(row)}`, "data-mark": MARKS[row.verdict] ?? "" }, row.verdict);
}

function changeCell(row) {
  const whole = el("span", {}, shift(row.change));
  if (row.low !== null) whole.append(" ", el("span", { class: "interval" }, `[${shift(row.low)}, ${row.high === null ? "∞" : shift(row.high)}]`));
  return whole;
}

function judgedColumns() {
  const varied = ["shape", "batch", "dtype", "activation", "mask", "mode", "device"].filter((name) => new Set(JUDGED.filter((row) => row.variant && (name !== "mask" || row.nm)).map((row) => row[name])).size > 1);
  return [
    { key: "verdict", title: "verdict", text: true, show: verdictBadge, sort: (row) => row.worst },
    words("variant", "case", { show: (row) => el("span", { class: "name" }, row.variant || row.key) }),
    NM, ...varied.map((name) => words(name, name)),
    words("figure", "figure"),
    number("base", "before", (row) => amountOf(row, row.base)),
    number("new", "now", (row) => amountOf(row, row.new)),
    number("change", "change", changeCell, { first: "down", help: "now over before less 1, with its 95 % interval" }),
    number("visible", "could see", (row) => (row.visible === null ? "–" : `± ${fixed(row.visible * 100, 1)} %`), { help: "the smallest change that this comparison sees in four of five cases" }),
    words("words", "why", { show: (row) => el("span", { class: "wide" }, row.words, el("span", { class: "muted" }, ` (${row.reason})`), row.advice ? el("div", { class: "muted" }, row.advice) : "") }),
  ];
}

const verdictsShown = () => new Set(state.verdict ? state.verdict.split(",") : []);

function passesVerdict(row) {
  const shown = verdictsShown();
  if (shown.size && !shown.has(row.verdict)) return false;
  const text = (state.view.cases ?? "").trim().toLowerCase();
  return !text || text.split(/\s+/).every((word) => `${row.key} ${row.figure} ${row.words}`.toLowerCase().includes(word));
}

function makeVerdictFilters(host) {
  const counts = d3.rollups(JUDGED, (own) => own.length, (row) => row.verdict);
  const buttons = counts.map(([verdict, count]) => {
    const button = el("button", { type: "button", "data-verdict": verdict, click: () => toggleVerdict(verdict) }, `${MARKS[verdict] ?? ""} ${verdict} `, el("b", {}, fixed(count)));
    return { verdict, button };
  });
  const search = el("input", { type: "search", placeholder: "Search cases and figures", "aria-label": "Search cases and figures",
    input: () => { state.view.cases = search.value; delete state.page.verdicts; changed("verdicts", "table-verdicts"); } });
  host.replaceChildren(search, el("span", { class: "group", role: "group", "aria-label": "Verdicts" }, buttons.map(({ button }) => button)));
  const draw = () => {
    const shown = verdictsShown();
    buttons.forEach(({ verdict, button }) => button.setAttribute("aria-pressed", String(shown.has(verdict))));
    if (document.activeElement !== search) search.value = state.view.cases ?? "";
  };
  onChange(draw);
  draw();
}

function toggleVerdict(verdict) {
  const shown = verdictsShown();
  if (!shown.delete(verdict)) shown.add(verdict);
  state.verdict = [...shown].join(",");
  delete state.page.verdicts;
  changed("verdicts", "table-verdicts");
}

/** The largest changes of times and ratios: where a figure moved and how sure that is. */
function drawChanges(host) {
  const known = JUDGED.filter((row) => row.change !== null && row.low !== null).slice(0, MOST_CHANGES)
    .map((row) => ({ ...row, label: `${row.variant ? nameOf(row) : row.key}: ${row.figure}`, id: `${row.key} ${row.what}` }));
  if (!known.length) return;
  const labels = new Map(known.map((row) => [row.id, row.label]));
  const width = widthOf(host, 280);
  const beside = d3.max(known, (row) => textWidth(row.label)) < 0.5 * width;
  const values = known.flatMap((row) => [row.change, row.low, row.high ?? row.change]).map((value) => 1 + value).filter((value) => value > 0).concat(0.97, 1.03);
  const domain = [Math.max(0.02, Math.min(...values) / 1.03), Math.min(50, Math.max(...values) * 1.03)];
  const ends = (row) => [Math.max(domain[0], 1 + row.low), Math.min(domain[1], row.high === null ? Infinity : 1 + row.high)];
  const colour = (row) => ({ bad: "var(--worse)", good: "var(--better)", open: "var(--muted)" })[toneOf(row)];
  const chart = Plot.plot({
    width, height: 52 + (beside ? 26 : 38) * known.length, marginLeft: beside ? d3.max(known, (row) => textWidth(row.label)) + 14 : 12, marginRight: 16, marginTop: 6, marginBottom: 46,
    style: { background: "transparent", fontSize: "12px", overflow: "visible" },
    x: { type: "log", domain, label: "now over before (log scale)", labelAnchor: "center", labelArrow: "none", labelOffset: 40, ticks: changeTicks(domain), tickFormat: (value) => tickWords(value - 1), tickSize: 0, grid: true },
    y: { type: "band", domain: known.map((row) => row.id), axis: beside ? "left" : null, label: null, tickSize: 0, tickFormat: (id) => labels.get(id) },
    marks: [
      Plot.ruleX([1], { stroke: "var(--ink)", strokeWidth: 1.2 }),
      Plot.link(known, { x1: (row) => ends(row)[0], x2: (row) => ends(row)[1], y: "id", dy: beside ? 0 : 7, stroke: colour, strokeWidth: 2.2, strokeLinecap: "round" }),
      Plot.dot(known, { x: (row) => 1 + row.change, y: "id", dy: beside ? 0 : 7, r: 4.5, fill: colour }),
      beside ? null : Plot.text(known, { x: domain[0], y: "id", text: "label", textAnchor: "start", dy: -9, dx: 2, fill: "var(--ink)", stroke: "var(--paper)", strokeWidth: 5, fontSize: 11.5 }),
      Plot.tip(known, Plot.pointer({ x: (row) => 1 + row.change, y: "id", fill: "var(--raised)", stroke: "var(--line-strong)", fontSize: 12, lineHeight: 1.35,
        title: (row) => `${row.label}\n${row.verdict}: ${shift(row.change)}  [${shift(row.low)}, ${row.high === null ? "∞" : shift(row.high)}]\n${row.words}` })),
    ],
  });
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", `The changes, worst first: ${known.map((row) => `${row.label}: ${row.verdict} ${shift(row.change)}`).join("; ")}`);
  host.replaceChildren(chart);
}

const tickWords = (share) => {
  const value = +(share * 100).toPrecision(3);
  return value === 0 ? "0 %" : signed(`${fixed(value, Number.isInteger(value) ? 0 : 1)} %`);
};

/** Even steps of a percentage where the change is small, round factors where it is large. */
function changeTicks(domain) {
  if (domain[1] / domain[0] > 3) return logTicks(domain, 7);
  return d3.ticks(domain[0] - 1, domain[1] - 1, 6).map((value) => 1 + value);
}

function startComparison() {
  makeVerdictFilters(byId("verdict-filters"));
  makeTable(byId("rows-verdicts"), { id: "verdicts", caption: "Verdicts, worst first", columns: judgedColumns(), rows: () => JUDGED.filter(passesVerdict) });
  const draw = () => drawChanges(byId("chart-changes"));
  onChange((what) => what.has("all") && draw());
  draw();
}
