// What the charts share (looks, tips, picking), and the chart of latencies.

const MASKED_COLOURS = 7;
const MASKED_SYMBOLS = ["circle", "square", "diamond", "triangle", "star", "cross", "wye"];
const PLAIN_SYMBOLS = ["times", "asterisk", "plus", "triangle2", "square2", "diamond2", "hexagon"];
const LOOKS = looks();

/** A colour and a symbol per variant, the same in every chart of every page; layers without masks are grey. */
function looks() {
  return new Map(LAYERS.map((row) => {
    const masked = row.layer === "mglu";
    const place = RUN.places[row.variant];
    return [row.variant, {
      masked,
      colour: masked ? `var(--c${place % MASKED_COLOURS})` : `var(--g${place % 3})`,
      // Seven colours and seven symbols: every seven variants, colours meet the next symbols.
      symbol: masked ? MASKED_SYMBOLS[(place + Math.floor(place / MASKED_COLOURS)) % 7] : PLAIN_SYMBOLS[place % 7],
    }];
  }));
}

const look = (row) => LOOKS.get(row.variant);
const measuring = document.createElement("canvas").getContext("2d");
/** How wide a text of a chart will be. */
function textWidth(words, size = 12) {
  measuring.font = `${size}px ${getComputedStyle(document.documentElement).fontFamily}`;
  return measuring.measureText(words).width;
}

const widthOf = (host, least = 300) => Math.max(least, Math.floor(host.clientWidth));

/** The lines of a tip: the numbers of a row. */
function describe(row) {
  const interval = row.latency_low_us > 0 ? `  [${time(row.latency_low_us)}, ${time(row.latency_high_us)}]` : "";
  const over = row.vs_glu === null ? [] : [`${times(row.vs_glu)}× the fastest GLU${range(row.vs_glu_low, row.vs_glu_high)}`];
  return [
    nameOf(row), `${time(row.latency_us)}${interval}`, ...over,
    `${megabytes(row.bytes_total)} MB at ${fixed(row.gb_per_s, 1)} GB/s${row.share_of_ceiling === null ? "" : `, ${percent(row.share_of_ceiling)} of ceiling`}`,
  ].join("\n");
}

const range = (low, high) => (low === null || high === null ? "" : `  [${times(low)}, ${times(high)}]`);

/** Points with their symbols, rings around picked ones, and a tip that follows the pointer. */
function pointMarks(rows, x, y) {
  const dots = d3.groups(rows, (row) => row.variant).map(([, own]) => {
    const { colour, symbol, masked } = look(own[0]);
    return Plot.dot(own, { x, y, symbol, r: masked ? 4.2 : 4.6, stroke: colour, fill: masked ? colour : "var(--paper)", strokeWidth: 1.6 });
  });
  const picked = [["A", state.a], ["B", state.b]].filter(([, row]) => rows.includes(row));
  return [
    ...dots,
    Plot.dot(picked, { x: ([, row]) => x(row), y: ([, row]) => y(row), r: 9, stroke: "var(--ink)", strokeWidth: 1.5 }),
    Plot.text(picked, { x: ([, row]) => x(row), y: ([, row]) => y(row), text: ([side]) => side, dy: -16, fontWeight: 700, fill: "var(--ink)", stroke: "var(--paper)", strokeWidth: 4 }),
    Plot.tip(rows, Plot.pointer({ x, y, title: describe, lineHeight: 1.35, fontSize: 12, fill: "var(--raised)", stroke: "var(--line-strong)", maxRadius: 40 })),
  ];
}

/** Round numbers across a logarithmic axis, at most about so many: 1, 2, 5 a decade, or powers of ten, or fewer. */
function logTicks([low, high], most) {
  const from = Math.floor(Math.log10(low)) - 1;
  const decades = d3.range(from, Math.ceil(Math.log10(high)) + 1);
  const within = (values) => values.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  const choices = [[1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8], [1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]].map((steps) =>
    within(decades.flatMap((power) => steps.map((step) => Number(`${step}e${power}`)))));
  const fitting = choices.find((ticks) => ticks.length <= most) ?? choices[choices.length - 1];
  const stride = Math.ceil(fitting.length / most);
  return fitting.filter((_, k) => k % stride === 0);
}

/** Put a drawn chart into its place; a click takes the row under the pointer. */
function place(host, chart, words) {
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", words);
  chart.addEventListener("click", () => chart.value?.id && pick(chart.value));
  chart.addEventListener("input", () => (chart.style.cursor = chart.value ? "pointer" : ""));
  host.replaceChildren(chart);
}

const NONE = "none";
const slot = (row) => (row.nm ? String(row.nm) : NONE);

function drawLatency(host, rows, setting) {
  const width = widthOf(host);
  const named = width >= 560;
  const right = named ? 30 + Math.min(0.4 * width, d3.max(rows, (row) => textWidth(row.variant, 11.5))) : 14;
  const nms = [...new Set(rows.map((row) => row.nm))].sort((one, other) => one - other);
  const latency = (row) => row.latency_us;
  const floor = setting.floor.filter(([nm]) => nms.includes(nm));
  const low = d3.min([...rows.map((row) => (row.latency_low_us > 0 ? row.latency_low_us : row.latency_us)), ...floor.map(([, us]) => us)]);
  const high = d3.max(rows, (row) => row.latency_high_us ?? row.latency_us) ?? 1;
  const lines = d3.groups(rows.filter((row) => row.nm), (row) => `${row.variant}|${row.mask}`);
  const chart = Plot.plot({
    width, height: Math.min(460, Math.max(340, width * 0.62)), marginLeft: 58, marginRight: right, marginTop: 24, marginBottom: 42,
    style: { background: "transparent", fontSize: "12px", overflow: "visible" },
    x: { type: "point", domain: nms.map((nm) => (nm ? String(nm) : NONE)), padding: 0.35, label: "number of masks, nm", labelArrow: "none", tickSize: 0 },
    y: { type: "log", domain: [low / 1.15, high * 1.15], label: "latency (log scale)", labelArrow: "none", tickFormat: timeTick, ticks: logTicks([low / 1.15, high * 1.15], 8), grid: true, tickSize: 0 },
    marks: [
      Plot.ruleY(rows.filter((row) => !row.nm), { y: latency, stroke: (row) => look(row).colour, strokeDasharray: "2 4", strokeOpacity: 0.8 }),
      Plot.line(floor, { x: ([nm]) => String(nm), y: ([, us]) => us, stroke: "var(--muted)", strokeDasharray: "1 3", strokeWidth: 2 }),
      ...lines.map(([, own]) => Plot.line(own.sort((one, other) => one.nm - other.nm), { x: slot, y: latency, stroke: look(own[0]).colour, strokeWidth: 1.6 })),
      Plot.link(rows.filter((row) => row.latency_low_us > 0 && row.latency_high_us), { x: slot, y1: "latency_low_us", y2: "latency_high_us", stroke: (row) => look(row).colour, strokeWidth: 1.4 }),
      ...pointMarks(rows, slot, latency),
    ],
  });
  if (named) nameEnds(chart, width - right + 6, endsOf(rows, lines, floor, setting));
  place(host, chart, `Latency by number of masks: ${setting.title}`);
}

function endsOf(rows, lines, floor, setting) {
  const ends = lines.map(([, own]) => ({ value: own[own.length - 1].latency_us, words: own[0].variant, colour: look(own[0]).colour }));
  ends.push(...rows.filter((row) => !row.nm).map((row) => ({ value: row.latency_us, words: row.variant, colour: look(row).colour })));
  if (floor.length) ends.push({ value: floor[floor.length - 1][1], words: `bytes at ${fixed(setting.ceiling, 1)} GB/s`, colour: "var(--muted)" });
  return ends;
}

/** Names at the right ends of lines, pushed apart where lines end close together. */
function nameEnds(chart, x, ends) {
  const scale = chart.scale("y");
  const wanted = ends.map((end) => ({ ...end, y: scale.apply(end.value) })).sort((one, other) => one.y - other.y);
  const placed = spreadApart(wanted.map((end) => end.y), 14.5, scale.range[1] + 4, scale.range[0] - 2);
  for (const [k, end] of wanted.entries()) {
    chart.append(
      svgEl("path", { d: `M${x - 2},${end.y}L${x + 10},${placed[k]}`, stroke: end.colour, "stroke-width": 0.8, fill: "none" }),
      svgEl("text", { x: x + 13, y: placed[k], dy: "0.33em", fill: end.colour, "font-size": 11.5, "text-anchor": "start", class: "end" }, end.words));
  }
}

/** Ascending positions at least ``gap`` apart, as near to the wanted ones as can be (least squares). */
function spreadApart(wanted, gap, low, high) {
  const room = wanted.length > 1 ? Math.min(gap, (high - low) / (wanted.length - 1)) : gap;
  const pools = [];
  wanted.forEach((value, k) => {
    let pool = { total: value - k * room, size: 1 };
    while (pools.length && pools[pools.length - 1].total / pools[pools.length - 1].size > pool.total / pool.size) {
      const before = pools.pop();
      pool = { total: before.total + pool.total, size: before.size + pool.size };
    }
    pools.push(pool);
  });
  const flat = pools.flatMap((pool) => Array(pool.size).fill(pool.total / pool.size));
  const top = high - (wanted.length - 1) * room;
  return flat.map((value, k) => Math.min(Math.max(value, low), top) + k * room);
}

/** What the symbols mean, fastest first. */
function drawLegend(host, rows) {
  const best = d3.rollups(rows, (own) => d3.min(own, (row) => row.latency_us), (row) => row.variant);
  best.sort(([, one], [, other]) => one - other);
  host.replaceChildren(...best.map(([variant]) => {
    const { colour, symbol, masked } = LOOKS.get(variant);
    const shape = d3.symbol(d3[`symbol${symbol[0].toUpperCase()}${symbol.slice(1)}`], 52)();
    const icon = svgEl("svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" },
      svgEl("path", { d: shape, stroke: colour, "stroke-width": 1.5, fill: masked ? colour : "none" }));
    return el("li", {}, icon, variant);
  }));
}

/** The answer: the fastest MGLU over the fastest GLU, by nm or by setting, and what bytes alone would give. */
function drawForest(host, entries) {
  const width = widthOf(host, 280);
  const known = entries.filter((entry) => entry.value !== null);
  if (!known.length) return;
  const ends = known.flatMap((entry) => [entry.low ?? entry.value, entry.high ?? entry.value, entry.bytes_alone]).concat(1);
  const domain = [Math.min(...ends) / 1.04, Math.max(...ends) * 1.04];
  const label = d3.max(known, (entry) => textWidth(entry.label));
  // Names stand left of their lines where there is room, and above them where there is none.
  const beside = label < 0.42 * width;
  const chart = Plot.plot({
    width, height: 52 + (beside ? 30 : 38) * known.length, marginLeft: beside ? label + 14 : 12, marginRight: 16, marginTop: 6, marginBottom: 46,
    style: { background: "transparent", fontSize: "12px", overflow: "visible" },
    x: { type: "log", domain, label: width > 440 ? "times as fast as the fastest GLU (log scale)" : "× the fastest GLU (log scale)", labelAnchor: "center", labelArrow: "none", labelOffset: 40, ticks: logTicks(domain, width > 480 ? 8 : 5), tickFormat: (value) => `${+value.toPrecision(3)}×`, tickSize: 0, grid: true },
    y: { type: "band", domain: known.map((entry) => entry.label), axis: beside ? "left" : null, label: null, tickSize: 0 },
    marks: [
      Plot.ruleX([1], { stroke: "var(--ink)", strokeWidth: 1.2 }),
      Plot.tickX(known, { x: "bytes_alone", y: "label", stroke: "var(--muted)", strokeWidth: 2, insetTop: beside ? 5 : 16, insetBottom: beside ? 5 : 2, dy: beside ? 0 : 4 }),
      Plot.link(known.filter((entry) => entry.low !== null), { x1: "low", x2: "high", y: "label", dy: beside ? 0 : 7, stroke: "var(--better)", strokeWidth: 2.4, strokeLinecap: "round" }),
      Plot.dot(known, { x: "value", y: "label", dy: beside ? 0 : 7, r: 5, fill: "var(--better)" }),
      beside ? null : Plot.text(known, { x: domain[0], y: "label", text: "label", textAnchor: "start", dy: -9, dx: 2, fill: "var(--ink)", stroke: "var(--paper)", strokeWidth: 5, fontSize: 11.5 }),
      Plot.tip(known, Plot.pointer({ x: "value", y: "label", fill: "var(--raised)", stroke: "var(--line-strong)", fontSize: 12, lineHeight: 1.35,
        title: (entry) => `${entry.label}\n${times(entry.value)}×${range(entry.low, entry.high)}\nby declared bytes alone ${times(entry.bytes_alone)}×` })),
    ],
  });
  place(host, chart, `The fastest MGLU over the fastest GLU: ${known.map((entry) => `${entry.label}: ${times(entry.value)}`).join("; ")}`);
}
