// A table that sorts by its headings, shows a page of rows at a time, and lets two rows be picked.

const PAGE_ROWS = 100;
const PRINTED_ROWS = 2000;
let printing = false;

/**
 * Columns have a key, a title, ``show(row)`` (text or nodes), ``sort(row)`` (a number or a text; null comes last), and
 * ``text`` where they are aligned left; ``first`` is the order of a first click, ``up`` or ``down``.
 */
function makeTable(host, { id, caption, columns, rows, pickable = false, best = () => false, order = null }) {
  const body = el("tbody");
  const heads = columns.map((column) => heading(id, column));
  const grid = el("table", { id: `table-${id}` },
    el("caption", { class: "unseen" }, caption), el("thead", {}, el("tr", {}, heads.map((head) => head.node))), body);
  const pager = el("nav", { class: "pager", "aria-label": `Pages of: ${caption}` });
  host.replaceChildren(el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, grid), pager);

  function draw() {
    const found = sorted(rows(), columns, state.sort[id], order);
    const size = printing ? PRINTED_ROWS : PAGE_ROWS;
    const pages = Math.max(1, Math.ceil(found.length / size));
    const page = printing ? 0 : Math.min(state.page[id] ?? 0, pages - 1);
    const shown = found.slice(page * size, (page + 1) * size);
    heads.forEach((head) => head.draw());
    body.replaceChildren(...shown.map((row) => line(row, columns, pickable, best(row))));
    if (!shown.length) body.append(el("tr", {}, el("td", { colspan: columns.length, class: "none" }, "Nothing passes the filters.")));
    drawPager(pager, id, page, pages, found.length, size);
  }
  onChange((what) => (what.has("rows") || what.has("all") || what.has(`table-${id}`)) && draw());
  if (pickable) onChange((what) => what.has("pair") && markPicked(body));
  draw();
}

function heading(id, column) {
  const arrow = el("span", { class: "arrow", "aria-hidden": "true" });
  const button = el("button", { type: "button", title: column.help ?? null, click: () => sortBy(id, column) }, column.title, arrow);
  const node = el("th", { scope: "col", class: column.text ? "text" : "", "data-key": column.key }, button);
  const draw = () => {
    const chosen = state.sort[id]?.key === column.key ? state.sort[id] : null;
    node.setAttribute("aria-sort", chosen ? (chosen.down ? "descending" : "ascending") : "none");
    arrow.textContent = chosen ? (chosen.down ? "▼" : "▲") : "";
  };
  return { node, draw };
}

/** A first click sorts, a second turns the order, a third gives the table's own order back. */
function sortBy(id, column) {
  const now = state.sort[id];
  const firstDown = column.first === "down";
  if (now?.key !== column.key) state.sort[id] = { key: column.key, down: firstDown };
  else if (now.down === firstDown) state.sort[id] = { key: column.key, down: !firstDown };
  else delete state.sort[id];
  delete state.page[id];
  changed(`table-${id}`);
}

function sorted(rows, columns, chosen, order) {
  const column = chosen && columns.find((found) => found.key === chosen.key);
  if (!column) return order ? [...rows].sort(order) : rows;
  const sign = chosen.down ? -1 : 1;
  const keyed = rows.map((row) => [column.sort(row), row]);
  const absent = (value) => value === null || value === undefined || value === "";
  keyed.sort(([one], [other]) => {
    if (absent(one) || absent(other)) return absent(one) - absent(other);
    return sign * (typeof one === "string" ? (one < other ? -1 : one > other ? 1 : 0) : one - other);
  });
  return keyed.map(([, row]) => row);
}

function line(row, columns, pickable, best) {
  const cells = columns.map((column, k) => {
    const shown = column.show(row);
    const content = k === 0 && pickable ? pickButton(row, shown) : shown;
    return el(k === 0 ? "th" : "td", { class: column.text ? "text" : "", scope: k === 0 ? "row" : null }, content);
  });
  const node = el("tr", { class: best ? "best" : "", "data-id": row.id ?? null }, cells);
  if (pickable) {
    node.classList.add("pickable");
    node.addEventListener("click", (event) => {
      if (!event.target.closest("button, a") && !String(getSelection())) pick(row);
    });
    markLine(node);
  }
  return node;
}

function pickButton(row, shown) {
  return el("button", { type: "button", class: "pick", click: () => pick(row), keydown: walk }, el("span", { class: "side" }), el("span", {}, shown));
}

/** Up and down go from row to row. */
function walk(event) {
  const next = { ArrowDown: "nextElementSibling", ArrowUp: "previousElementSibling" }[event.key];
  const target = next && event.currentTarget.closest("tr")[next]?.querySelector(".pick");
  if (!target) return;
  event.preventDefault();
  target.focus();
}

const markPicked = (body) => body.querySelectorAll("tr.pickable").forEach(markLine);

function markLine(node) {
  const side = state.a?.id === node.dataset.id ? "A" : state.b?.id === node.dataset.id ? "B" : "";
  node.dataset.side = side;
  node.querySelector(".side").textContent = side;
  node.querySelector(".pick").setAttribute("aria-pressed", String(Boolean(side)));
}

function drawPager(host, id, page, pages, count, size) {
  host.hidden = pages < 2;
  const go = (to) => () => { state.page[id] = to; changed(`table-${id}`); };
  const button = (words, to) => el("button", { type: "button", disabled: to < 0 || to >= pages || to === page, click: go(to) }, words);
  const last = Math.min(count, (page + 1) * size);
  host.replaceChildren(
    button("First", 0), button("Previous", page - 1),
    el("span", {}, `rows ${fixed(page * size + 1)} to ${fixed(last)} of ${fixed(count)}`),
    button("Next", page + 1), button("Last", pages - 1));
}

addEventListener("beforeprint", () => { printing = true; changed("all"); });
addEventListener("afterprint", () => { printing = false; changed("all"); });
