// The two picked rows: their ratio with its interval, and their samples round by round.

const SIDES = [["a", "A", "var(--c0)"], ["b", "B", "var(--c1)"]];

function drawPair(host, bar) {
  const rows = SIDES.map(([key, side, colour]) => ({ row: state[key], side, colour })).filter(({ row }) => row);
  const found = state.a && state.b ? ratioOf(state.b, state.a) : null;
  host.replaceChildren(
    rows.length ? verdictOf(found, rows) : el("p", { class: "muted" }, "Pick two rows, in the charts or in the table below, for their ratio with its interval."),
    el("div", { class: "sides" }, rows.map(sideCard)));
  drawBar(bar, found, rows);
}

/** Above 1, A is faster: B over A. */
function verdictOf(found, rows) {
  if (!found) return el("p", {}, `${nameOf(rows[0].row)} takes ${time(rows[0].row.latency_us)}. `, el("span", { class: "muted" }, "Pick a second row for their ratio."));
  const known = found.low !== null;
  const open = known && found.low < 1 && found.high > 1 ? " The interval holds 1: they cannot be told apart." : "";
  return el("div", { class: "ratio" },
    el("p", { class: "big" }, `${times(found.value)}×`),
    el("p", {}, `A is ${times(found.value)} times as fast as B`, el("br"),
      known ? `95 % interval ${times(found.low)} to ${times(found.high)}, ` : "", el("span", { class: "muted" }, `${found.words}.${open}`)));
}

function sideCard({ row, side, colour }) {
  const facts = [
    ["latency", `${time(row.latency_us)}${row.latency_low_us > 0 ? ` [${time(row.latency_low_us)}, ${time(row.latency_high_us)}]` : ""}`],
    ["samples", `${fixed(row.samples)}, p5 ${time(row.latency_p5_us)}, p95 ${time(row.latency_p95_us)}`],
    ["bytes", `${megabytes(row.bytes_total)} MB, ${fixed(row.gb_per_s, 1)} GB/s`],
  ];
  const notes = row.marks.map((mark) => RUN.marks.words[mark]);
  return el("div", { class: "side-card", style: `--side: ${colour}` },
    el("h4", {}, el("span", { class: "badge" }, side), nameOf(row),
      el("button", { type: "button", class: "quiet", "aria-label": `Take ${side} away`, click: () => pick(row) }, "×")),
    SHARED.length && RUN.settings.length > 1 ? el("p", { class: "muted" }, RUN.settings[row.setting].title) : null,
    el("dl", {}, facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
    notes.length ? el("ul", { class: "notes" }, notes.map((note) => el("li", {}, note))) : null);
}

function drawBar(bar, found, rows) {
  bar.hidden = !rows.length || !barWanted;
  bar.replaceChildren(
    ...rows.map(({ row, side, colour }) => el("span", { style: `--side: ${colour}` }, el("span", { class: "badge" }, side), `${nameOf(row)} `, el("b", {}, time(row.latency_us)))),
    found ? el("span", {}, "A is ", el("b", {}, `${times(found.value)}×`), " as fast as B", range(found.low, found.high)) : el("span", { class: "muted" }, "pick a second row"),
    el("a", { href: "#pair", click: toPair }, "samples"),
    el("button", { type: "button", class: "quiet", click: () => { state.a = state.b = null; changed("pair"); } }, "clear"));
}

// The bar is for readers who cannot see the pair's own section and have come to the tables.
let barWanted = false;
function toPair(event) {
  event.preventDefault();
  document.getElementById("pair").scrollIntoView();
}

/** Every sample in the order in which it was taken, A beside B in each round; a short line is the round's median. */
function drawSamples(host) {
  const rows = SIDES.map(([key, side, colour], place) => ({ row: state[key], side, colour, place })).filter(({ row }) => row);
  if (!rows.length) return host.replaceChildren();
  const dots = [], bars = [], middles = [];
  const labels = new Map();
  for (const { row, colour, place } of rows) {
    const left = rows.length > 1 ? 0.06 + 0.47 * place : 0.1;
    const room = rows.length > 1 ? 0.41 : 0.8;
    for (const turn of roundsOf(row)) {
      const fx = turn.number;
      labels.set(fx, turn);
      middles.push({ fx, x1: left, x2: left + room, y: turn.median / 1e3, colour });
      if (RUN.all_samples) turn.values.forEach((ns, k) => dots.push({ fx, x: left + (room * (k + 0.5)) / turn.count, y: ns / 1e3, colour, row, turn }));
      else bars.push({ fx, x: left + room / 2, colour, turn, row, five: turn.values.map((ns) => ns / 1e3) });
    }
  }
  const ends = d3.extent([...dots.map((dot) => dot.y), ...bars.flatMap((bar) => bar.five)]);
  const log = ends[1] / ends[0] > 4;
  const numbers = [...labels.keys()].sort((one, other) => one - other);
  const width = Math.max(widthOf(host), numbers.length * 46 + 80);
  const chart = Plot.plot({
    width, height: 280, marginLeft: 58, marginRight: 10, marginTop: 30, marginBottom: 22,
    style: { background: "transparent", fontSize: "12px", overflow: "visible" },
    fx: { domain: numbers, label: null, tickFormat: (number) => roundName(labels.get(number), width / numbers.length), padding: 0.06, axis: "bottom" },
    x: { domain: [0, 1], axis: null },
    y: { type: log ? "log" : "linear", domain: log ? [ends[0] / 1.1, ends[1] * 1.1] : undefined, nice: !log, zero: false, label: `latency of a sample${log ? " (log scale)" : ""}`, labelArrow: "none", tickFormat: timeTick, ticks: log ? logTicks([ends[0] / 1.1, ends[1] * 1.1], 7) : 5, grid: true, tickSize: 0 },
    marks: [
      Plot.frame({ stroke: "var(--line)" }),
      Plot.link(bars, { fx: "fx", x: "x", y1: (bar) => bar.five[0], y2: (bar) => bar.five[4], stroke: "colour", strokeWidth: 1 }),
      Plot.link(bars, { fx: "fx", x: "x", y1: (bar) => bar.five[1], y2: (bar) => bar.five[3], stroke: "colour", strokeWidth: 7 }),
      Plot.dot(dots, { fx: "fx", x: "x", y: "y", r: dots.length > 1500 ? 1.2 : 1.9, fill: "colour", fillOpacity: 0.55 }),
      Plot.link(middles, { fx: "fx", x1: "x1", x2: "x2", y1: "y", y2: "y", stroke: "colour", strokeWidth: 2.2 }),
      dots.length ? Plot.tip(dots, Plot.pointer({ fx: "fx", x: "x", y: "y", fill: "var(--raised)", stroke: "var(--line-strong)", fontSize: 12, lineHeight: 1.35, title: sampleWords })) : null,
    ],
  });
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", `Samples by round of ${rows.map(({ side, row }) => `${side} ${nameOf(row)}`).join(" and ")}`);
  host.replaceChildren(chart);
}

const sampleWords = ({ row, turn, y }) => `${nameOf(row)}\n${time(y)}\nround ${turn.number + 1}, process ${turn.process + 1}\nmedian of the round ${time(turn.median / 1e3)}`;

function roundName(turn, room) {
  if (room < 60) return String(turn.number + 1);
  return room < 120 ? `round ${turn.number + 1}` : `round ${turn.number + 1}, process ${turn.process + 1}`;
}
