// The table of recorded runs: sorted by its headings, filtered by words, one or more opened. Texts are set as text.

const SHOWN = 200; // rows in the page at once
const FORMS = {
  best: (value) => value.toLocaleString("en", { maximumSignificantDigits: 5 }), // in the unit of its benchmark
  rank: (value) => value.toLocaleString("en"),
  cost: (value) => (value ? `$${value.toPrecision(2)}` : "$0"),
  journal: (value) => value.split("/").pop(),
};

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function compared(one, two) {
  if (one === two) return 0;
  if (one === null || two === null) return one === null ? 1 : -1; // what is unknown comes last, whichever way
  return one < two ? -1 : 1;
}

function render({ model, el }) {
  let columns = [];
  let rows = [];
  let order = { column: null, falls: false };
  const chosen = new Set();
  const filter = element("input", { type: "search", placeholder: "words that a row must have", "aria-label": "Filter the runs" });
  const open = element("button", { type: "button", disabled: "" }, "Open the chosen");
  const count = element("span", { role: "status" });
  const head = element("tr");
  const body = element("tbody");
  const table = element("table", {}, element("caption", {}, "Recorded runs"), element("thead", {}, head), body);
  const scroll = element("div", { class: "genius-runs-scroll", tabindex: "0", role: "region", "aria-label": "Recorded runs" }, table);
  const root = element("section", { class: "genius-lab genius-runs", "aria-label": "Runs on disk" },
    element("div", { class: "genius-runs-bar" }, filter, open, count), scroll);
  root.hidden = true;
  el.append(root);
  root.addEventListener("keydown", (event) => event.stopPropagation());

  const journal = (row) => row[columns.indexOf("journal")];
  const send = (journals) => model.send({ kind: "open", journals });

  function heading(name, index) {
    const press = element("button", { type: "button" }, name);
    press.addEventListener("click", () => {
      order = { column: index, falls: order.column === index && !order.falls };
      show();
    });
    return element("th", { scope: "col", "data-column": name }, press);
  }

  function line(row) {
    const key = journal(row);
    const mark = element("input", { type: "checkbox", "aria-label": `Choose ${key}` });
    mark.checked = chosen.has(key);
    mark.addEventListener("change", () => {
      if (mark.checked) chosen.add(key);
      else chosen.delete(key);
      tell();
    });
    const cells = row.map((value, index) => {
      const text = value === null ? "" : (FORMS[columns[index]] ?? String)(value);
      if (columns[index] !== "journal") return element("td", {}, text);
      const press = element("button", { type: "button", title: key }, text);
      press.addEventListener("click", () => send([key]));
      return element("td", {}, press);
    });
    return element("tr", {}, element("td", {}, mark), ...cells);
  }

  function tell() {
    open.disabled = chosen.size === 0;
    open.textContent = chosen.size > 1 ? `Open ${chosen.size} together` : "Open the chosen";
  }

  function show() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = rows.filter((row) => {
      const text = row.join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    });
    if (order.column !== null) {
      const { column, falls } = order;
      kept.sort((one, two) => {
        const [a, b] = [one[column], two[column]];
        return falls && a !== null && b !== null ? compared(b, a) : compared(a, b);
      });
    }
    [...head.children].slice(1).forEach((cell, index) => {
      const sorted = order.column === index;
      cell.setAttribute("aria-sort", sorted ? (order.falls ? "descending" : "ascending") : "none");
    });
    body.replaceChildren(...kept.slice(0, SHOWN).map(line));
    const more = kept.length > SHOWN ? `, the first ${SHOWN} shown` : "";
    count.textContent = `${kept.length} of ${rows.length} runs${more}`;
  }

  filter.addEventListener("input", show);
  open.addEventListener("click", () => send([...chosen]));

  const receive = (content) => {
    if (content.kind !== "runs") return;
    if (!columns.length) {
      columns = content.columns;
      head.replaceChildren(element("td"), ...columns.map(heading));
    }
    rows = [...rows.slice(0, content.start), ...content.rows];
    const known = new Set(rows.map(journal));
    for (const key of [...chosen]) if (!known.has(key)) chosen.delete(key);
    root.hidden = rows.length === 0;
    tell();
    show();
  };
  model.on("msg:custom", receive);
  model.send({ kind: "ready" });
  return () => model.off("msg:custom", receive);
}

export default { render };
