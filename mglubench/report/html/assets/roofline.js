// What was reached under what the device can give: FLOP/s over intensity, or time over bytes.

const bytesOf = (row) => (row.dram_bytes_read > 0 && row.dram_bytes_written !== null ? row.dram_bytes : row.bytes_total);
const KINDS = {
  roofline: {
    x: (row) => row.flops / bytesOf(row), y: (row) => row.flops / row.latency_us / 1e3,
    xWords: "arithmetic intensity, FLOP per byte", yWords: "reached, GFLOP/s",
  },
  bandwidth: {
    x: (row) => bytesOf(row) / 1e6, y: (row) => row.latency_us,
    xWords: "moved by one run, MB", yWords: "latency",
  },
};

function drawRoofline(host, rows, setting, kind) {
  const points = rows.filter((row) => bytesOf(row) > 0 && row.flops > 0);
  if (!points.length) return host.replaceChildren(el("p", { class: "muted" }, "No row with declared bytes and FLOPs."));
  const { x, y, xWords, yWords } = KINDS[kind];
  const width = widthOf(host);
  const { lines, domain } = (kind === "roofline" ? roofLines : floorLines)(points, RUN.roofs[setting.roofs], x, y);
  const height = Math.min(460, Math.max(340, width * 0.62));
  const trails = d3.groups(points.filter((row) => row.nm), (row) => `${row.variant}|${row.mask}`);
  const chart = Plot.plot({
    width, height, marginLeft: 58, marginRight: 14, marginTop: 24, marginBottom: 42,
    style: { background: "transparent", fontSize: "12px", overflow: "visible" },
    x: { type: "log", domain: domain.x, label: width > 480 ? `${xWords} (${countedWords(points)}, log scale)` : `${xWords} (log scale)`, labelAnchor: "center", labelArrow: "none", labelOffset: 38, ticks: logTicks(domain.x, width > 500 ? 8 : 5), tickFormat: shortNumber, grid: true, tickSize: 0 },
    y: { type: "log", domain: domain.y, label: `${yWords} (log scale)`, labelArrow: "none", ticks: logTicks(domain.y, 8), tickFormat: kind === "roofline" ? shortNumber : timeTick, grid: true, tickSize: 0 },
    marks: [
      ...lines.map((line) => Plot.link([line], { x1: "x1", y1: "y1", x2: "x2", y2: "y2", stroke: line.measured ? "var(--ink)" : "var(--muted)", strokeWidth: 1.3, strokeDasharray: line.measured ? null : "5 4" })),
      ...trails.map(([, own]) => Plot.line(own.sort((one, other) => one.nm - other.nm), { x, y, stroke: look(own[0]).colour, strokeWidth: 0.8, strokeOpacity: 0.6 })),
      ...pointMarks(points, x, y),
    ],
  });
  lines.forEach((line) => nameLine(chart, line, kind));
  place(host, chart, `${kind === "roofline" ? "Roofline" : "Time over bytes"}: ${setting.title}`);
}

const shortNumber = (value) => String(+value.toPrecision(3));

function countedWords(points) {
  const counted = points.filter((row) => bytesOf(row) === row.dram_bytes).length;
  return !counted ? "declared bytes" : counted === points.length ? "DRAM bytes by ncu" : "DRAM bytes by ncu or declared";
}

/** Memory roofs up to the ridge, where the fastest unit takes over, and compute roofs from there on. */
function roofLines(points, roofs, x, y) {
  const top = d3.max(roofs.compute, (roof) => roof.rate);
  const fastest = d3.max(roofs.memory, (roof) => roof.rate);
  const low = d3.min(points, x) / 2;
  const high = Math.max(d3.max(points, x) * 3, top && fastest ? (2 * top) / fastest : 0);
  const lines = roofs.memory.map((roof) => {
    const end = top ? Math.min(high, top / roof.rate) : high;
    return { ...roof, x1: low, y1: (roof.rate * low) / 1e9, x2: end, y2: (roof.rate * end) / 1e9 };
  });
  for (const roof of roofs.compute) {
    lines.push({ ...roof, flat: true, x1: fastest ? roof.rate / fastest : high / 1e3, y1: roof.rate / 1e9, x2: high, y2: roof.rate / 1e9 });
  }
  const heights = [...points.map(y), ...lines.map((line) => line.y2)];
  return { lines, domain: { x: [low, high], y: [d3.min(points, y) / 2, d3.max(heights) * 2.2] } };
}

function floorLines(points, roofs, x, y) {
  const [low, high] = [d3.min(points, x) / 1.6, d3.max(points, x) * 2];
  const lines = roofs.memory.map((roof) => ({ ...roof, x1: low, y1: (low * 1e12) / roof.rate, x2: high, y2: (high * 1e12) / roof.rate }));
  const heights = [...points.map(y), ...lines.flatMap((line) => [line.y1, line.y2])];
  return { lines, domain: { x: [low, high], y: [d3.min(heights) / 1.6, d3.max(heights) * 1.6] } };
}

/** A roof's name along its line: slanted ones below their upper end, flat ones above their right end. */
function nameLine(chart, line, kind) {
  const [sx, sy] = [chart.scale("x"), chart.scale("y")];
  const [x1, x2] = [sx.apply(line.x1), sx.apply(line.x2)];
  const [y1, y2] = [sy.apply(line.y1), sy.apply(line.y2)];
  const angle = (Math.atan2(y2 - y1, x2 - x1) * 180) / Math.PI;
  const beside = kind === "bandwidth" ? 14 : -6;
  chart.append(svgEl("text", {
    transform: `translate(${x2 - (line.flat ? 4 : 10 * Math.cos((angle * Math.PI) / 180))},${y2 - (line.flat ? 0 : 10 * Math.sin((angle * Math.PI) / 180))}) rotate(${angle})`,
    dy: beside, "text-anchor": "end", "font-size": 11, fill: line.measured ? "var(--ink)" : "var(--muted)", class: "end",
  }, line.label));
}
