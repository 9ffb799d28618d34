// The ratio of two rows with its 95 % interval, by the rule and the constants of the tool (mglubench/spread.py), which
// come with the data. Medians of rounds are logarithms; what copies add to the variance was computed by the tool.

const median = (values) => d3.median(values);
const meanOf = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function variance(values, spare) {
  const centre = meanOf(values);
  return values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - spare);
}

function medianVariance(n) {
  const known = RUN.rule.median_variance;
  return n <= known.length ? known[n - 1] : RUN.rule.many;
}

/** The 97.5 % point of Student's t: the logarithm goes linearly with 1 / df between the points of the table. */
function studentT(df) {
  const table = RUN.rule.t;
  const x = -1 / Math.max(df, 1);
  const next = table.findIndex(([n]) => -1 / n >= x);
  if (next < 0) return table[table.length - 1][1];
  if (next === 0) return table[0][1];
  const [[left, low], [right, high]] = [table[next - 1], table[next]];
  const share = (x + 1 / left) / (1 / left - 1 / right);
  return Math.exp(Math.log(low) + share * (Math.log(high) - Math.log(low)));
}

function medianT(n) {
  const known = RUN.rule.median_t;
  const place = n - RUN.rule.least_rounds;
  return place < known.length ? known[place] : studentT(n - 1) * Math.sqrt(RUN.rule.many);
}

/** What processes add to the variance, beside what their rounds and copies do. */
function betweenProcesses(rounds, processes, copies) {
  const names = [...new Set(processes)];
  if (names.length < 2 || names.length === processes.length) return { variance: 0, atMost: 0, count: 1 };
  const parts = names.map((name) => rounds.filter((_, k) => processes[k] === name));
  const squares = d3.sum(parts, (part) => variance(part, 0) * part.length);
  const ofRounds = squares / (processes.length - names.length);
  const noise = ofRounds * meanOf(parts.map((part) => medianVariance(part.length) / part.length));
  const seen = variance(parts.map(median), 1);
  const known = d3.sum(copies, (part) => part.variance);
  const factor = medianVariance(names.length) / names.length;
  const own = Math.max(0, seen - noise - names.length * known);
  return { variance: factor * own, atMost: factor * seen, count: names.length };
}

/** Half the width of the interval of a median over rounds, log; infinite for too few rounds. */
function halfWidth(rounds, copies, processes) {
  const n = rounds.length;
  if (n < RUN.rule.least_rounds) return Infinity;
  const ofRounds = (medianVariance(n) * variance(rounds, 1)) / n;
  const parts = [...copies, betweenProcesses(rounds, processes, copies)];
  const whole = ofRounds + d3.sum(parts, (part) => part.variance);
  const doubt = Math.min(1, n / RUN.rule.many_rounds);
  let spread = ofRounds ** 2 / (n - 1);
  for (const part of parts) {
    if (part.count > 1) spread += (part.variance + doubt * (part.atMost - part.variance)) ** 2 / (part.count - 1);
  }
  const df = spread > 0 ? whole ** 2 / spread : n - 1;
  const exact = medianT(n) / studentT(n - 1) / Math.sqrt(medianVariance(n));
  const byRounds = whole > 0 ? ofRounds / whole : 1;
  return studentT(df) * (1 - (1 - exact) * byRounds) * Math.sqrt(whole);
}

function sideOf(row) {
  const plan = RUN.rounds.plans[RUN.rounds.plan[row.index]];
  const [own, atMost, count] = RUN.rounds.part[row.index];
  const medians = RUN.rounds.medians[row.index];
  return { of: new Map(plan.map(([number, process], k) => [number, { process, median: medians[k] }])), part: { variance: own, atMost, count } };
}

/** How many times as long ``base`` takes as ``own``: value, interval, and in words what it rests on. */
function ratioOf(base, own) {
  const plain = { value: base.latency_us / own.latency_us, low: null, high: null };
  const [left, right] = inOneSet(base, own);
  if (!left) return { ...plain, words: "measured in different sets, which share no round: no interval" };
  if (left === right) return { value: 1, low: 1, high: 1, words: "a row over itself" };
  const sides = [sideOf(left), sideOf(right)];
  const shared = [...sides[0].of.keys()].filter((number) => sides[1].of.has(number));
  if (!shared.length) return { ...plain, words: "they share no round: no interval" };
  const logs = shared.map((number) => sides[0].of.get(number).median - sides[1].of.get(number).median);
  const processes = shared.map((number) => sides[0].of.get(number).process);
  // Without rounds (runs of before) a ratio is that of plain medians.
  const value = shared.length === 1 ? plain.value : Math.exp(median(logs));
  const half = halfWidth(logs, sides.map((side) => side.part), processes);
  const several = new Set(processes).size;
  if (!Number.isFinite(half)) return { ...plain, value, words: `${plural(shared.length, "round")}: too few for an interval` };
  const all = Math.max(sides[0].of.size, sides[1].of.size);
  const words = shared.length < all
    ? `${shared.length} of ${all} rounds are shared, so the interval is approximate`
    : `over ${plural(shared.length, "round")}${several > 1 ? ` in ${several} processes` : ""}`;
  return { value, low: value * Math.exp(-half), high: value * Math.exp(half), words };
}

/** The two rows, or their twins of one comparison set: a baseline may stand in several. */
function inOneSet(one, other) {
  if (one.set === other.set && one.setting === other.setting) return [one, other];
  const twin = (row, set) => ROWS.find((found) => found.key === row.key && found.set === set);
  const [left, right] = [twin(one, other.set), twin(other, one.set)];
  if (one.setting !== other.setting) return [null, null];
  return left ? [left, other] : right ? [one, right] : [null, null];
}
