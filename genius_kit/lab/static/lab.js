// The two views of the prompt lab: one board of a run, and a template beside the prompt that it makes.
// Plain SVG and DOM. Every text from outside is set as text, never as markup, but for the drawings of the package.

const SVG = "http://www.w3.org/2000/svg";
const SIZE = { width: 560, height: 240, left: 56, right: 12, top: 12, bottom: 34 };
const CHUNK = 100; // points in one path, so that a new point redraws few

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text) made.textContent = text;
  return made;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function amount(value, unit) {
  if (value === null) return "not measured";
  return unit === "percent" ? `${value.toFixed(2)} %` : `${Number(value.toPrecision(5))} ${unit}`;
}

function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function ticks(low, high, count) {
  const raw = (high - low) / count;
  const magnitude = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * magnitude).find((size) => size >= raw);
  const found = [];
  for (let index = Math.ceil(low / step); index * step <= high; index += 1) found.push(Number((index * step).toPrecision(10)));
  return found;
}

// JupyterLab takes arrow keys, and letters, from whatever is no text field; within the lab they belong to its controls.
function keepKeys(event) {
  if (!event.target.matches(":read-write")) event.target.setAttribute("data-lm-suppress-shortcuts", "true");
}

function rankTicks(low, high) {
  const found = [];
  for (let power = 0; power < 9; power += 1) for (const factor of [1, 2, 5]) found.push(factor * 10 ** power);
  const within = found.filter((rank) => low <= -Math.log10(rank) && -Math.log10(rank) <= high);
  return within.length <= 6 ? within : within.filter((rank) => Number.isInteger(Math.log10(rank)));
}

// The points lie in one group in their own units, (iteration, height); a change of scale changes its transform only.
// A height is the accuracy in percent, or minus the logarithm of the rank, so that higher is better in both.
class Curve {
  constructor(onStep) {
    this.onStep = onStep;
    this.svg = shape("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", class: "genius-curve" });
    this.axes = this.svg.appendChild(shape("g", { class: "genius-axes" }));
    this.data = this.svg.appendChild(shape("g"));
    this.random = this.data.appendChild(shape("path", { class: "genius-random" }));
    this.levels = this.data.appendChild(shape("path", { class: "genius-level" }));
    this.best = this.data.appendChild(shape("path", { class: "genius-best" }));
    this.others = this.data.appendChild(shape("g")); // the best so far of several runs, a line each, the lower ones wider
    this.dots = this.data.appendChild(shape("g"));
    this.ring = this.svg.appendChild(shape("circle", { r: 7, class: "genius-ring", visibility: "hidden" }));
    this.svg.addEventListener("click", (event) => this.clicked(event));
    this.name = "accuracy";
    this.unit = "percent";
    this.measure = "accuracy";
    this.held = null;
    this.several = [];
    this.reset([], 0, null);
  }

  height(value, rank) {
    if (this.measure === "accuracy") return value;
    return value === null || rank === null ? null : -Math.log10(rank);
  }

  // The level lines: name and height.
  lines() {
    if (!this.held) return [];
    const prior = this.held.prior ? [["the largest", this.height(...this.held.prior)]] : [];
    return [["best of the table", this.height(this.held.best, 1)], ...prior];
  }

  show(measure, held) {
    this.measure = measure;
    this.held = held;
    this.reset(this.points.map((point) => point.sent), this.budget, this.selected);
  }

  reset(points, budget, selected) {
    this.points = [];
    this.budget = budget;
    this.selected = selected;
    this.low = Infinity;
    this.high = -Infinity;
    this.top = null;
    this.path = "";
    this.tails = {};
    this.dots.replaceChildren();
    this.others.replaceChildren(...this.several.map((line, place) => this.other(line, this.several.length - place)));
    this.drawn = "";
    this.add(points);
  }

  add(points) {
    for (const point of points) this.append(point);
    if (this.path) this.best.setAttribute("d", `${this.path}H${this.last()}`);
    else this.best.removeAttribute("d");
    this.scale();
  }

  other({ colour, dash, steps, length }, above) {
    let d = "";
    for (const [iteration, accuracy, , , rank] of steps) {
      const height = this.height(accuracy, rank);
      if (height === null) continue;
      d += d ? `H${iteration}V${height}` : `M${iteration} ${height}`;
      this.low = Math.min(this.low, height);
      this.high = Math.max(this.high, height);
    }
    const drawn = { d: d && `${d}H${length}`, class: "genius-best", style: `stroke: ${colour}; stroke-width: ${0.6 + above}px`, "stroke-dasharray": dash };
    return shape("path", drawn);
  }

  append(sent) {
    const [iteration, accuracy, name, origin, rank, macs, parameters] = sent;
    const value = this.height(accuracy, rank);
    this.points.push({ sent, iteration, accuracy, name, origin, rank, macs, parameters, value });
    if (value === null) return;
    this.low = Math.min(this.low, value);
    this.high = Math.max(this.high, value);
    if (this.top === null) this.path = `M${iteration} ${value}`;
    else if (value > this.top) this.path += `H${iteration}V${value}`;
    this.top = this.top === null ? value : Math.max(this.top, value);
    const kind = origin === "model" ? "genius-model" : "genius-other";
    let tail = this.tails[kind];
    if (!tail || tail.count === CHUNK) {
      tail = { path: this.dots.appendChild(shape("path", { class: `genius-dots ${kind}` })), d: "", count: 0 };
      this.tails[kind] = tail;
    }
    tail.d += `M${iteration} ${value}h0`;
    tail.count += 1;
    tail.path.setAttribute("d", tail.d);
  }

  last() {
    return this.points.length ? this.points[this.points.length - 1].iteration : 0;
  }

  scale() {
    const heights = this.lines().map(([, height]) => height);
    const least = Math.min(this.low, ...heights);
    const most = Math.max(this.high, ...heights);
    const known = least <= most;
    const room = known ? Math.max(0.06 * (most - least), most > least ? 0 : 0.5) : 0;
    const low = known ? least - room : 0;
    const high = known ? most + room : 100;
    const end = Math.max(this.budget, this.last(), 1);
    const key = `${low} ${high} ${end} ${this.name} ${this.measure} ${JSON.stringify(this.held)}`;
    if (key !== this.drawn) {
      this.drawn = key;
      const wide = (SIZE.width - SIZE.left - SIZE.right) / end;
      const tall = (SIZE.height - SIZE.top - SIZE.bottom) / (high - low);
      this.across = (iteration) => SIZE.left + wide * (iteration - 0.5);
      this.down = (value) => SIZE.top + tall * (high - value);
      this.data.setAttribute("transform", `matrix(${wide} 0 0 ${-tall} ${this.across(0)} ${this.down(0)})`);
      this.drawAxes(low, high, end, known);
      this.drawHeld(low, end);
    }
    this.mark();
  }

  drawAxes(low, high, end, known) {
    const base = SIZE.height - SIZE.bottom;
    const right = SIZE.width - SIZE.right;
    const made = [shape("path", { d: `M${SIZE.left} ${SIZE.top}V${base}H${right}`, class: "genius-axis" })];
    const isRank = this.measure === "rank";
    const marks = isRank ? rankTicks(low, high).map((rank) => [-Math.log10(rank), rank]) : ticks(low, high, 5).map((value) => [value, value]);
    for (const [height, value] of known ? marks : []) {
      const y = this.down(height);
      made.push(shape("path", { d: `M${SIZE.left} ${y}H${right}`, class: "genius-grid" }));
      made.push(shape("text", { x: SIZE.left - 5, y: y + 4, "text-anchor": "end" }, String(value)));
    }
    for (const [name, height] of this.lines()) {
      const place = { x: right, y: this.down(height) - 3, "text-anchor": "end", class: "genius-held" };
      made.push(shape("text", place, name));
    }
    const numbers = new Set(ticks(1, Math.max(2, end), 6).map((value) => Math.max(1, Math.round(value))));
    for (const value of numbers) {
      if (value > end) continue;
      made.push(shape("text", { x: this.across(value), y: base + 14, "text-anchor": "middle" }, String(value)));
    }
    const middle = (SIZE.top + base) / 2;
    made.push(shape("text", { x: (SIZE.left + SIZE.width) / 2, y: SIZE.height - 5, "text-anchor": "middle" }, "evaluation"));
    const turned = `translate(13 ${middle}) rotate(-90)`;
    made.push(shape("text", { transform: turned, "text-anchor": "middle" }, isRank ? "rank (1 is best)" : `${this.name} (${this.unit === "percent" ? "%" : this.unit})`));
    this.axes.replaceChildren(...made);
  }

  drawHeld(low, end) {
    this.levels.setAttribute("d", this.lines().map(([, height]) => `M0.5 ${height}H${end + 0.5}`).join(""));
    const draws = (this.held?.random ?? []).filter(([number]) => number <= end);
    const places = draws.map(([number, value, rank]) => `${number} ${Math.max(low, this.height(value, rank))}`);
    this.random.setAttribute("d", places.length ? `M${places.join("L")}` : "");
  }

  select(index) {
    this.selected = index;
    this.mark();
  }

  mark() {
    const point = this.selected === null ? null : this.points[this.selected];
    const shown = point && point.value !== null;
    this.ring.setAttribute("visibility", shown ? "visible" : "hidden");
    if (!shown) return;
    this.ring.setAttribute("cx", this.across(point.iteration));
    this.ring.setAttribute("cy", this.down(point.value));
  }

  place(event) {
    const box = this.svg.getBoundingClientRect();
    return ((event.clientX - box.left) * SIZE.width) / box.width;
  }

  iterationAt(event) {
    const wide = this.across(2) - this.across(1);
    return Math.max(1, Math.round(1 + (this.place(event) - this.across(1)) / wide));
  }

  nearest(event) {
    const x = this.place(event);
    let nearest = null;
    this.points.forEach((point, index) => {
      const away = Math.abs(this.across(point.iteration) - x);
      if (away <= 14 && (nearest === null || away < nearest.away)) nearest = { index, away };
    });
    return nearest && nearest.index;
  }

  clicked(event) {
    const index = this.nearest(event);
    if (index !== null) this.onStep(index);
  }
}

// What a point is, line by line.
function pointLines(point, name, measured) {
  const count = (value, unit) => (value === null ? [] : [`${value.toLocaleString("en")} ${unit}`]);
  return [
    `${point.iteration}: ${point.name}`,
    point.accuracy === null ? "not measured" : `${name} ${amount(point.accuracy, measured)}`,
    ...(point.rank === null ? [] : [`rank ${point.rank.toLocaleString("en")}`]),
    ...count(point.macs, "multiply-accumulates"),
    ...count(point.parameters, "parameters"),
  ];
}

// Where each of several runs stands at one iteration.
function lineTexts(curve, iteration) {
  const texts = curve.several.map(({ label, steps }) => {
    const best = steps.filter(([at]) => at <= iteration).pop();
    return `${label}: ${amount(best ? best[1] : null, curve.unit)}`;
  });
  return [`after ${iteration}`, ...texts];
}

function renderCurve({ model, el }) {
  const send = (content) => model.send(content);
  const curve = new Curve((index) => step(index));
  const caption = element("div", { class: "genius-caption" });
  const summary = element("p", { class: "genius-summary" });
  const legend = element("p", { class: "genius-legend" });
  const drawing = element("figure", { class: "genius-drawing" });
  const state = element("span", { role: "status" });
  const age = element("span", { class: "genius-age", "aria-hidden": "true" });
  const money = element("span", { class: "genius-money" });
  const slider = element("input", { type: "range", min: 1, max: 1, value: 1, disabled: "" });
  const shown = element("output", { class: "genius-step" });
  const label = element("label", { class: "genius-slider" }, "Step ", slider, " ", shown);
  const measure = element("select", { "aria-label": "Height of the curve" });
  for (const name of ["accuracy", "rank"]) measure.append(element("option", { value: name }, name));
  const newest = element("button", { type: "button", hidden: "" }, "Show the newest");
  const tip = element("div", { class: "genius-tip", hidden: "" });
  const said = element("div", { class: "genius-chat", tabindex: "0", role: "log", "aria-live": "off", "aria-label": "Replies as they come" });
  const detail = element("div", { class: "genius-chat", tabindex: "0", role: "region", "aria-label": "The step that is shown", hidden: "" });
  const code = element("code", { tabindex: "0", "aria-label": "The last action as Python", role: "textbox", "aria-readonly": "true" });
  const copy = element("button", { type: "button" }, "Copy as Python");
  const line = element("div", { class: "genius-line", hidden: "" }, code, copy);
  const tools = element("div", { class: "genius-tools" }, label, measure, newest);
  const plot = element("div", { class: "genius-plot" }, curve.svg, tip);
  const graph = element("div", {}, plot, tools, legend, summary);
  const root = element(
    "section",
    { class: "genius-lab", "aria-label": "What is shown of a run" },
    caption,
    element("div", { class: "genius-state" }, state, " ", age, " ", money),
    element("div", { class: "genius-pictures" }, element("div", {}, graph, drawing), element("div", {}, said, detail)),
    line,
  );
  el.append(root);

  let board = null; // the key of what is shown; a message of any other is not for this view
  let heard = 0; // how many entries were said of it
  let done = 0; // the number of what a person did last; what the kernel says of before does not undo it
  let asked = null;
  function act(content) {
    done = Math.max(done + 1, Date.now()); // rises over reloads too
    send({ ...content, board, number: done });
  }
  function ask() {
    send({ kind: "ready" });
    if (asked === null) asked = setInterval(() => send({ kind: "ready" }), 1000);
  }
  function answered() {
    if (asked !== null) clearInterval(asked);
    asked = null;
  }

  function step(index) {
    curve.select(index);
    follow();
    act({ kind: "step", step: index });
  }

  function follow() {
    const count = curve.points.length;
    slider.disabled = count === 0;
    slider.max = Math.max(1, count);
    const index = curve.selected === null ? count - 1 : curve.selected;
    slider.value = index + 1;
    const point = curve.points[index];
    const value = point ? amount(point.accuracy, curve.unit) : "";
    const ranked = point && point.rank !== null ? `, rank ${point.rank}` : "";
    setText(shown, point ? `${point.iteration}: ${value}${ranked}` : "");
    slider.setAttribute("aria-valuetext", point ? `iteration ${point.iteration}, ${point.name}, ${value}${ranked}` : "no step");
    newest.hidden = curve.selected === null;
  }
  slider.addEventListener("input", () => step(Number(slider.value) - 1));
  newest.addEventListener("click", () => step(null));
  measure.addEventListener("change", () => {
    curve.show(measure.value, curve.held);
    act({ kind: "measure", measure: measure.value });
  });
  curve.svg.addEventListener("pointermove", (event) => {
    const index = curve.nearest(event);
    const texts = curve.several.length ? lineTexts(curve, curve.iterationAt(event)) : index === null ? [] : pointLines(curve.points[index], curve.name, curve.unit);
    tip.hidden = !texts.length;
    if (tip.hidden) return;
    tip.replaceChildren(...texts.map((text) => element("div", {}, text)));
    const box = plot.getBoundingClientRect();
    const x = event.clientX - box.left;
    tip.style.left = x < box.width / 2 ? `${x + 14}px` : "";
    tip.style.right = x < box.width / 2 ? "" : `${box.width - x + 14}px`;
    tip.style.top = `${event.clientY - box.top + 10}px`;
  });
  curve.svg.addEventListener("pointerleave", () => (tip.hidden = true));

  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      setText(copy, "Copied");
    } catch {
      window.getSelection().selectAllChildren(code);
      setText(copy, "Selected: press Ctrl+C");
    }
    setTimeout(() => setText(copy, "Copy as Python"), 1500);
  });

  let asking = null;
  let doing = "";
  let retry = null;
  let area = null;
  function tick() {
    if (area === null && el.isConnected) {
      area = el.closest(".jp-OutputArea-output") ?? el;
      area.addEventListener("focusin", keepKeys);
    }
    const now = performance.now() / 1000;
    if (retry !== null) setText(age, `retrying in ${Math.max(0, Math.ceil(retry - now))} s`);
    else if (asking !== null) setText(age, `${doing} ${clock(now - asking)}`);
    else setText(age, "");
  }
  const timer = setInterval(tick, 250);

  function showStatus(status) {
    const now = performance.now() / 1000;
    asking = status.asking === null ? null : now - status.asking;
    doing = status.connecting ? "connecting" : "waiting for the reply";
    retry = status.retry === null ? null : now + status.retry;
    setText(state, status.text);
    setText(money, status.money);
    tick();
  }

  function showSummary(text) {
    setText(summary, text);
    curve.svg.setAttribute("aria-label", text);
  }

  // Drawings and entries are of the package, their texts escaped.
  function showDrawing(content) {
    const picture = element("div");
    picture.innerHTML = content.svg;
    drawing.replaceChildren(picture, element("figcaption", {}, content.caption));
    drawing.hidden = !content.svg;
  }

  function say(entries) {
    const atEnd = said.scrollHeight - said.scrollTop - said.clientHeight < 40;
    for (const html of entries) {
      const entry = element("div", { class: "genius-entry genius-reply" });
      entry.innerHTML = html;
      said.append(entry);
    }
    heard += entries.length;
    while (said.children.length > 60) said.firstChild.remove();
    if (atEnd) said.scrollTop = said.scrollHeight;
  }

  function showStep(html) {
    detail.innerHTML = html;
    detail.hidden = !html;
    said.hidden = Boolean(html) || !said.children.length;
  }

  function showLine(text) {
    setText(code, text);
    line.hidden = !text;
  }

  const answers = {
    all(content) {
      answered();
      const isOlder = content.board === board && content.number < done;
      board = content.board;
      curve.name = content.name;
      curve.unit = content.unit;
      if (!isOlder) curve.measure = measure.value = content.measure;
      curve.held = content.held;
      curve.several = content.lines.map(([label, colour, dash, steps, length]) => ({ label, colour, dash, steps, length }));
      label.hidden = curve.several.length > 0;
      curve.reset(content.points, content.budget, isOlder ? curve.selected : content.selected);
      graph.hidden = !content.budget;
      tip.hidden = true;
      follow();
      setText(caption, content.caption);
      setText(legend, curve.several.length ? "" : content.legend);
      for (const line of curve.several) {
        const sign = shape("svg", { width: 30, height: 8, "aria-hidden": "true" });
        sign.append(shape("path", { d: "M0 4H26", "stroke-width": 2, stroke: line.colour, "stroke-dasharray": line.dash }));
        legend.append(element("div", {}, sign, line.label));
      }
      showSummary(content.summary);
      showDrawing(content.drawing);
      said.replaceChildren();
      heard = content.said.start;
      say(content.said.entries);
      showStep(content.step);
      said.scrollTop = said.scrollHeight;
      showStatus(content.status);
      showLine(content.line);
    },
    add(content) {
      if (content.start !== curve.points.length) return ask();
      curve.add(content.points);
      follow();
      showSummary(content.summary);
    },
    said(content) {
      if (content.start !== heard) return ask();
      say(content.entries);
      said.hidden = !detail.hidden;
    },
    held(content) {
      curve.name = content.name;
      curve.show(curve.measure, content.held);
    },
    budget(content) {
      curve.budget = content.budget;
      curve.scale();
    },
    select(content) {
      if (content.number < done) return;
      curve.select(content.selected);
      follow();
      showStep(content.step);
    },
    drawing: (content) => showDrawing(content.drawing),
    status: (content) => showStatus(content.status),
    line: (content) => showLine(content.line),
  };
  const receive = (content) => {
    if (content.kind === "all" || content.board === board) answers[content.kind]?.(content);
  };
  function lost() {
    showStatus({ text: "The kernel of this cell is gone, and its searches with it: run the cell again", money: "", asking: null, retry: null });
    ask(); // where it is there after all, its answer replaces that sentence
  }
  model.on("msg:custom", receive);
  model.on("comm_live_update", lost);
  ask();
  return () => {
    answered();
    model.off("comm_live_update", lost);
    clearInterval(timer);
    area?.removeEventListener("focusin", keepKeys);
    model.off("msg:custom", receive);
  };
}

function renderTemplate({ model, el }) {
  const name = element("span", { class: "genius-name" });
  const field = element("textarea", { spellcheck: "false", "aria-label": "Prompt template", rows: 18 });
  const problem = element("p", { role: "alert", class: "genius-problem" });
  const prompt = element("div", { class: "genius-prompt", tabindex: "0", role: "region", "aria-label": "Rendered prompt" });
  const facts = element("p", { class: "genius-facts", role: "status" });
  const difference = element("pre", { class: "genius-difference", tabindex: "0", "aria-label": "Difference to the variant" });
  const heading = element("summary");
  const details = element("details", {}, heading, difference);
  const root = element(
    "section",
    { class: "genius-lab genius-template", "aria-label": "Template and prompt" },
    element("div", { class: "genius-columns" },
      element("div", {}, element("h4", {}, "Template ", name), field),
      element("div", {}, element("h4", {}, "Prompt"), prompt)),
    problem, facts, details,
  );
  el.append(root);

  // One edit is under way at a time; what is typed meanwhile goes with the next, when the answer came or half a second passed.
  // Numbers of edits: the last typed, sent and answered. A text of the kernel's does not overwrite what was typed since.
  let typed = 0;
  let sent = 0;
  let answered = 0;
  let sentAt = 0;
  let waiting = null;
  let variant = "";
  function edited() {
    if (waiting !== null) clearTimeout(waiting);
    waiting = null;
    sent = typed;
    sentAt = performance.now();
    model.send({ kind: "edit", source: field.value, variant, number: sent });
  }
  field.addEventListener("input", () => {
    typed = Math.max(typed + 1, Date.now()); // rises over reloads too
    const left = sentAt + 500 - performance.now();
    if (answered >= sent || left <= 0) edited();
    else if (waiting === null) waiting = setTimeout(edited, left);
  });
  root.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    edited();
    model.send({ kind: "ask" });
  });

  function showPrompt(messages) {
    const parts = [];
    for (const { role, parts: pieces } of messages) {
      const text = element("pre");
      for (const [piece, kind] of pieces) text.append(kind ? element("mark", { class: `genius-${kind}` }, piece) : piece);
      parts.push(element("h5", {}, role), text);
    }
    prompt.replaceChildren(...parts);
  }

  function showDifference(lines) {
    heading.textContent = lines.length ? "Difference to the variant it came from" : "No difference to the variant it came from";
    difference.replaceChildren(
      ...lines.map((text) => element("span", { class: { "+": "genius-added", "-": "genius-removed" }[text[0]] ?? "" }, `${text}\n`)),
    );
  }

  const answers = {
    template(content) {
      setText(name, content.name);
      if (content.variant === variant && content.number < typed) return;
      if (waiting !== null) edited();
      variant = content.variant;
      field.value = content.source;
    },
    rendered(content) {
      const isOlder = content.number < sent;
      answered = Math.max(answered, content.number);
      if (waiting !== null && !isOlder) edited();
      if (isOlder) return;
      if (content.messages) showPrompt(content.messages);
      setText(problem, content.problem ?? "");
      field.setAttribute("aria-invalid", content.problem ? "true" : "false");
      setText(facts, content.facts ?? "");
      showDifference(content.difference ?? []);
    },
  };
  const receive = (content) => answers[content.kind]?.(content);
  model.on("msg:custom", receive);
  model.send({ kind: "ready" });
  return () => model.off("msg:custom", receive);
}

export default {
  render(context) {
    // The still picture beside a lab is for pages in which no kernel answers.
    context.model.on("msg:custom", () => context.el.closest(".jp-Notebook")?.classList.add("genius-live"));
    return (context.model.get("part") === "template" ? renderTemplate : renderCurve)(context);
  },
};
