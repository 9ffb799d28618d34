// Elements and texts. Whatever comes from a run is set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes (functions become listeners, null is left out) and children. */
function el(tag, attributes = {}, ...children) {
  return furnished(document.createElement(tag), attributes, children);
}

function svgEl(tag, attributes = {}, ...children) {
  return furnished(document.createElementNS(SVG, tag), attributes, children);
}

function furnished(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

/** A number with thousands separated, the same wherever the page is opened. */
function fixed(value, digits = 0) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const [whole, part] = Math.abs(value).toFixed(digits).split(".");
  const sign = value < 0 && Number(Math.abs(value).toFixed(digits)) !== 0 ? "−" : "";
  return sign + whole.replace(/\B(?=(\d{3})+$)/g, ",") + (part ? `.${part}` : "");
}

/** A factor with about three significant digits. */
function times(value) {
  if (value === null || !Number.isFinite(value)) return "–";
  return fixed(value, value >= 100 ? 0 : value >= 10 ? 1 : value >= 0.1 ? 2 : 4);
}

/** Microseconds in the unit that suits them, to three digits. */
function time(us) {
  if (us === null || !Number.isFinite(us)) return "–";
  for (const [unit, size] of [["s", 1e6], ["ms", 1e3], ["µs", 1]]) {
    if (us >= size || unit === "µs") return `${threeDigits(us / size)} ${unit}`;
  }
}

function threeDigits(value) {
  return fixed(value, value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

/** A tick: as few digits as it needs. */
function timeTick(us) {
  for (const [unit, size] of [["s", 1e6], ["ms", 1e3], ["µs", 1]]) {
    if (us >= size * 0.999) return `${+(us / size).toPrecision(3)} ${unit}`;
  }
  return `${+us.toPrecision(3)} µs`;
}

const megabytes = (bytes, digits = 2) => (bytes === null ? "–" : fixed(bytes / 1e6, digits));
const percent = (share, digits = 0) => (share === null ? "–" : `${fixed(share * 100, digits)} %`);
const signed = (text) => (/^[−–]/.test(text) ? text : `+${text}`);
const plural = (count, word) => `${fixed(count)} ${word}${count === 1 ? "" : "s"}`;

/** What a row is called: its variant, and its masks if it has any. */
const nameOf = (row) => (row.nm ? `${row.variant} nm=${row.nm}` : row.variant);
