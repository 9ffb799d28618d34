// The columns of the page's tables.

const number = (key, title, show, more = {}) => ({ key, title, show, sort: (row) => row[key], ...more });
const words = (key, title, more = {}) => ({ key, title, text: true, show: (row) => row[key] ?? "", sort: (row) => row[key] ?? "", ...more });

const VARIANT = words("variant", "variant");
const NM = number("nm", "nm", (row) => (row.nm ? String(row.nm) : ""), { help: "number of masks" });
/** The axes that differ between rows, beside variant and nm. */
const AXIS_COLUMNS = VARIED.filter((name) => !["variant", "nm"].includes(name)).map((name) => words(name, name));

function factor(key, title, help) {
  const show = (row) => {
    if (row[key] === null) return "–";
    const whole = el("span", {}, times(row[key]));
    if (row[`${key}_low`] !== null && row[`${key}_low`] !== row[`${key}_high`]) {
      whole.append(" ", el("span", { class: "interval" }, `[${times(row[`${key}_low`])}, ${times(row[`${key}_high`])}]`));
    }
    return whole;
  };
  return number(key, title, show, { first: "down", help });
}

const ANY = (key) => LAYERS.some((row) => row[key] !== null && row[key] !== undefined);

const LATENCY_COLUMNS = [
  VARIANT, NM, ...AXIS_COLUMNS,
  number("latency_us", "latency, µs", (row) => fixed(row.latency_us, 1), { help: "median over rounds of the rounds' medians" }),
  number("noise", "± %", (row) => fixed(row.noise === null ? null : row.noise * 100, 1), { help: "half the width of the 95 % interval" }),
  factor("vs_glu", "× fastest GLU", "how many times as fast as the fastest GLU of the setting"),
  factor("vs_naive", "× naive", "over the fastest naive layer of the same nm"),
  ...(ANY("vs_printed") ? [factor("vs_printed", "× Algorithm 2", "over the naive layer as the paper prints it")] : []),
  number("share_of_ceiling", "of ceiling", (row) => percent(row.share_of_ceiling), { first: "down", help: "declared bytes per second over those of the best reader" }),
  ...(ANY("share_of_own_read") ? [number("share_of_own_read", "of own read", (row) => percent(row.share_of_own_read), { first: "down", help: "over those of the best reader of one matrix of this shape, launch and ramp included" })] : []),
  number("samples", "samples", (row) => fixed(row.samples), { first: "down" }),
  { key: "marks", title: "notes", text: true, show: noteLetters, sort: (row) => -row.marks.length },
];

const BYTE_COLUMNS = [
  VARIANT, NM, ...AXIS_COLUMNS,
  ...["weights", "masks", "x", "y", "scratch", "total"].map((part) =>
    number(`bytes_${part}`, `${part}, MB`, (row) => megabytes(row[`bytes_${part}`], part === "x" || part === "y" ? 3 : 2))),
  number("bits_per_element", "bits/weight", (row) => fixed(row.bits_per_element, 1)),
  number("memory_vs_glu", "saved vs GLU", (row) => (row.memory_vs_glu === null ? "–" : signed(percent(row.memory_vs_glu, 1))), { first: "down" }),
  ...(ANY("dram_bytes") ? [
    number("dram_bytes", "DRAM, MB", (row) => megabytes(row.dram_bytes), { help: "read and written by one run, counted by ncu" }),
    number("dram_over_formula", "DRAM/formula", (row) => fixed(row.dram_over_formula, 3)),
    number("l2_bytes_written", "L2 written, MB", (row) => megabytes(row.l2_bytes_written, 3)),
  ] : []),
  number("gb_per_s", "GB/s", (row) => fixed(row.gb_per_s, 1), { first: "down", help: "declared bytes over the latency" }),
];

const sci = (value) => (value === null || value === undefined ? "–" : value.toExponential(1).replace("-", "−"));
const MEASURING_COLUMNS = [
  VARIANT, NM, ...AXIS_COLUMNS,
  number("latency_p5_us", "p5, µs", (row) => fixed(row.latency_p5_us, 1)),
  number("latency_p95_us", "p95, µs", (row) => fixed(row.latency_p95_us, 1)),
  number("rounds", "rounds", (row) => fixed(row.rounds), { first: "down" }),
  number("processes", "processes", (row) => fixed(row.processes), { first: "down" }),
  number("samples", "samples", (row) => fixed(row.samples), { first: "down" }),
  number("discarded", "discarded", (row) => fixed(row.discarded), { first: "down" }),
  number("error_after", "error", (row) => sci(row.error_after), { first: "down", help: "‖y − ref‖ / ‖ref‖ against float64, after the timed loop" }),
  words("stop", "stopped by"),
  words("timer", "how samples were taken"),
];

const FAILED_COLUMNS = [VARIANT, NM, ...AXIS_COLUMNS, words("status", "status"), words("reason", "reason", { long: true })];

/** Letters a, b, ..., z, aa, ... of the sentences that hold for a row; the footnotes below say them. */
function noteLetters(row) {
  return row.marks.map((mark) => el("abbr", { title: RUN.marks.words[mark] }, `${letter(mark)} `));
}

function letter(place) {
  return (place >= 26 ? letter(Math.floor(place / 26) - 1) : "") + String.fromCharCode(97 + (place % 26));
}

/** The footnotes of the rows that pass the filters. */
function drawFootnotes(host, rows) {
  const counts = new Map();
  rows.forEach((row) => row.marks.forEach((mark) => counts.set(mark, (counts.get(mark) ?? 0) + 1)));
  const marks = [...counts.keys()].sort((one, other) => one - other);
  host.replaceChildren(...marks.map((mark) => el("li", {},
    el("b", {}, letter(mark)), ` ${RUN.marks.words[mark]}`, el("span", { class: "muted" }, ` (${plural(counts.get(mark), "row")})`))));
}
