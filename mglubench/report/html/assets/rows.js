// The run as row objects, and which of them a table or a chart may show.

const PAGE = JSON.parse(document.getElementById("data").textContent);
const RUN = PAGE.run;
// What axes a person filters by, in this order; a shape is h and d together.
const FACETS = ["shape", "dtype", "nm", "variant", "mode", "batch", "activation", "mask", "device"];

// What rows of one setting have in common.
const SHARED = Object.keys(RUN?.settings[0]?.of ?? {});
const ROWS = RUN ? decoded(RUN) : [];
const LAYERS = firsts(ROWS.filter((row) => row.status === "ok" && !RUN.ceilings.includes(row.layer)));
const FAILED = ROWS.filter((row) => row.status !== "ok");
const BY_ID = new Map(ROWS.map((row) => [row.id, row]));
// What several values of are among the rows: only these need a filter and a column.
const VARIED = FACETS.filter((name) => {
  const rows = [...LAYERS, ...FAILED].filter((row) => name !== "mask" || row.nm);
  return new Set(rows.map((row) => row[name])).size > 1;
});

function decoded(run) {
  const rows = Array.from({ length: run.count }, (_, index) => ({ index }));
  for (const [name, { words, of }] of Object.entries(run.words)) rows.forEach((row, i) => (row[name] = words[of[i]]));
  for (const [name, values] of Object.entries(run.numbers)) rows.forEach((row, i) => (row[name] = values[i]));
  const settings = new Map(run.settings.map((setting, i) => [settingKey(setting.of), i]));
  const taken = new Set();
  for (const row of rows) {
    row.shape = `${row.h}x${row.d}`;
    row.marks = run.marks.of[row.index];
    row.setting = settings.get(settingKey(row));
    row.noise = row.latency_us ? (row.latency_high_us - row.latency_low_us) / 2 / row.latency_us : null;
    row.id = taken.has(row.key) ? `${row.key} (set ${row.set})` : row.key;
    taken.add(row.id);
  }
  return rows;
}

function settingKey(values) {
  return SHARED.map((name) => values[name]).join("|");
}

/** A baseline that several comparison sets hold is shown as the first of them measured it. */
function firsts(rows) {
  const seen = new Set();
  return rows.filter((row) => !seen.has(row.key) && seen.add(row.key));
}

/** The order of the tool's own tables: settings as measured, layers without masks first, the best of a block last. */
function inTableOrder(one, other) {
  return (
    one.setting - other.setting || one.nm - other.nm ||
    (one.mask < other.mask ? -1 : one.mask > other.mask ? 1 : 0) || other.latency_us - one.latency_us
  );
}

/** Samples of a row by round, in nanoseconds; or five numbers a round where the page does not hold them all. */
function roundsOf(row) {
  const counts = RUN.rounds.counts[row.index];
  const plan = RUN.rounds.plans[RUN.rounds.plan[row.index]];
  const drawn = RUN.rounds.drawn[row.index];
  let start = 0;
  return counts.map((count, k) => {
    const size = RUN.all_samples ? count : 5;
    const values = drawn.slice(start, start + size);
    start += size;
    return { number: plan[k][0], process: plan[k][1], count, values, median: Math.exp(RUN.rounds.medians[row.index][k]) };
  });
}
