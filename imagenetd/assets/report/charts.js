"use strict";
// Draws the figures as SVG at the width that they really have, so that text stays readable on a phone and on paper.
const NS = "http://www.w3.org/2000/svg";
const COLOURS = 7;
const colour = (i) => `var(--s${i % COLOURS})`;
const fixed = (x) => (x === null || x === undefined ? "-" : x.toFixed(1).replace(/^-0\.0$/, "0.0"));
const shown = (r) => (r.v === null ? "no image" : `${fixed(r.v)}% [${fixed(r.lo)}, ${fixed(r.hi)}], n = ${r.n}`);

const cut = (text, length) => (text.length > length ? `${text.slice(0, Math.floor(length) - 1)}\u2026` : text);

function node(parent, name, attributes, text) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  parent.appendChild(made);
  return made;
}

function canvas(holder, width, height, label) {
  holder.replaceChildren();
  return node(holder, "svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
}

function scale(low, high, from, to) {
  return (value) => from + ((value - low) / (high - low || 1)) * (to - from);
}

// Axes in percent with a light grid; returns the two scales.
function axes(svg, box, figure, xs, xTicks) {
  const x = scale(xs[0], xs[1], box.left, box.right);
  const y = scale(0, 100, box.bottom, box.top);
  for (const tick of [0, 20, 40, 60, 80, 100]) {
    node(svg, "line", { x1: box.left, x2: box.right, y1: y(tick), y2: y(tick), class: "grid" });
    node(svg, "text", { x: box.left - 6, y: y(tick) + 4, "text-anchor": "end", class: "soft" }, tick);
  }
  for (const tick of xTicks) node(svg, "text", { x: x(tick), y: box.bottom + 17, "text-anchor": "middle", class: "soft" }, tick);
  node(svg, "text", { x: (box.left + box.right) / 2, y: box.bottom + 36, "text-anchor": "middle" }, figure.x);
  node(svg, "text", { x: -(box.top + box.bottom) / 2, y: 14, transform: "rotate(-90)", "text-anchor": "middle" }, figure.y);
  return [x, y];
}

function scatter(figure, holder, hidden) {
  const width = Math.max(280, Math.min(holder.clientWidth, 560)), height = Math.min(width, 430);
  const svg = canvas(holder, width, height, `${figure.title}: ${figure.x} against ${figure.y}`);
  const box = { left: 48, right: width - 12, top: 10, bottom: height - 46 };
  const [x, y] = axes(svg, box, figure, [0, 100], [0, 20, 40, 60, 80, 100]);
  node(svg, "line", { x1: x(0), y1: y(0), x2: x(100), y2: y(100), class: "axis", "stroke-dasharray": "5 5" });
  figure.series.forEach((series, i) => {
    if (hidden.has(series.name)) return;
    const group = node(svg, "g", { stroke: colour(i), fill: series.hollow ? "var(--paper)" : colour(i) });
    for (const point of series.points) {
      const faint = series.small ? 0.25 : 0.7;
      node(group, "line", { x1: x(point.x.lo), x2: x(point.x.hi), y1: y(point.y.v), y2: y(point.y.v), opacity: faint });
      node(group, "line", { x1: x(point.x.v), x2: x(point.x.v), y1: y(point.y.lo), y2: y(point.y.hi), opacity: faint });
      const tip = `${point.label}\nall: ${shown(point.x)}\nhard: ${shown(point.y)}`;
      node(group, "circle", { cx: x(point.x.v), cy: y(point.y.v), r: series.small ? 4 : 6, "stroke-width": 2, "data-tip": tip, tabindex: 0, role: "img", "aria-label": tip });
    }
  });
}

function lines(figure, holder, hidden) {
  const width = Math.max(280, Math.min(holder.clientWidth, 560)), height = Math.min(width, 360);
  const svg = canvas(holder, width, height, `${figure.title}: ${figure.y} against ${figure.x}`);
  const box = { left: 48, right: width - 14, top: 10, bottom: height - 46 };
  const xs = [...new Set(figure.series.flatMap((s) => s.points.map((p) => p.x)))].sort((a, b) => a - b);
  const [x, y] = axes(svg, box, figure, [xs[0], xs[xs.length - 1]], xs);
  figure.series.forEach((series, i) => {
    if (hidden.has(series.name) || !series.points.length) return;
    const points = series.points.filter((p) => p.v !== null);
    const upper = points.map((p) => `${x(p.x)},${y(p.hi)}`), lower = points.map((p) => `${x(p.x)},${y(p.lo)}`).reverse();
    node(svg, "polygon", { points: [...upper, ...lower].join(" "), fill: colour(i), opacity: 0.15 });
    node(svg, "polyline", { points: points.map((p) => `${x(p.x)},${y(p.v)}`).join(" "), fill: "none", stroke: colour(i), "stroke-width": 2 });
    for (const p of points) {
      const tip = `${series.name}, ${p.x}\n${shown(p)}`;
      node(svg, "circle", { cx: x(p.x), cy: y(p.v), r: 5, fill: colour(i), "data-tip": tip, tabindex: 0, role: "img", "aria-label": tip });
    }
  });
}

function forest(figure, holder, hidden, choice) {
  const panel = figure.panels.find((p) => p.name === choice) || figure.panels[0];
  const width = Math.max(300, holder.clientWidth), narrow = width < 560;
  const left = Math.min(narrow ? 120 : 210, width * 0.4), right = width - (narrow ? 14 : 120), line = 22;
  const groups = [...new Set(panel.rows.map((r) => r.group))];
  const height = (panel.rows.length + groups.length) * line + 46;
  const svg = canvas(holder, width, height, `${figure.title}, ${panel.name}`);
  const x = scale(0, 100, left, right), bottom = height - 40;
  for (const tick of [0, 20, 40, 60, 80, 100]) {
    node(svg, "line", { x1: x(tick), x2: x(tick), y1: 4, y2: bottom, class: "grid" });
    node(svg, "text", { x: x(tick), y: bottom + 16, "text-anchor": "middle", class: "soft" }, tick);
  }
  node(svg, "text", { x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle" }, `${panel.name}: ${figure.x}`);
  let place = 0;
  for (const name of groups) {
    node(svg, "text", { x: 4, y: place * line + 16, class: "strong" }, name);
    place += 1;
    for (const row of panel.rows.filter((r) => r.group === name)) {
      const middle = place * line + 11;
      const label = node(svg, "text", { x: left - 8, y: middle + 4, "text-anchor": "end" }, cut(row.label, (left - 12) / 6.8));
      node(label, "title", {}, row.label);
      row.marks.forEach((mark, i) => {
        if (hidden.has(figure.marks[i]) || !mark.n || mark.v === null) return;
        const few = mark.n < figure.min_images, at = middle + (i - (row.marks.length - 1) / 2) * 7;
        node(svg, "line", { x1: x(mark.lo), x2: x(mark.hi), y1: at, y2: at, stroke: colour(i), "stroke-width": 2, opacity: few ? 0.35 : 0.9 });
        const tip = `${row.label}, ${figure.marks[i]}\n${shown(mark)}`;
        node(svg, "circle", { cx: x(mark.v), cy: at, r: 4.5, fill: few ? "var(--paper)" : colour(i), stroke: colour(i), "stroke-width": 1.5, "data-tip": tip, tabindex: 0, role: "img", "aria-label": tip });
      });
      if (!narrow) node(svg, "text", { x: right + 10, y: middle + 4, class: "soft" }, `n = ${row.marks.map((m) => m.n).join(" / ")}`);
      place += 1;
    }
  }
}

function steps(figure, holder, hidden, choice) {
  const panel = figure.panels.find((p) => p.name === choice) || figure.panels[0];
  const width = Math.max(300, Math.min(holder.clientWidth, 620)), line = 48, left = Math.min(170, width * 0.42), right = width - 14;
  const height = panel.steps.length * line + 46, svg = canvas(holder, width, height, `${figure.title}, ${panel.name}`);
  const x = scale(0, 100, left, right), bottom = height - 40;
  for (const tick of [0, 25, 50, 75, 100]) {
    node(svg, "line", { x1: x(tick), x2: x(tick), y1: 4, y2: bottom, class: "grid" });
    node(svg, "text", { x: x(tick), y: bottom + 16, "text-anchor": "middle", class: "soft" }, tick);
  }
  node(svg, "text", { x: (left + right) / 2, y: bottom + 34, "text-anchor": "middle" }, `${panel.name}: ${figure.x}`);
  panel.steps.forEach((step, i) => {
    const top = i * line + 8, tone = step.v < 0 ? "var(--bad)" : "var(--good)";
    node(svg, "text", { x: left - 8, y: top + 12, "text-anchor": "end" }, `${step.start} \u2192`);
    node(svg, "text", { x: left - 8, y: top + 27, "text-anchor": "end" }, step.end);
    const tip = `${step.start} \u2192 ${step.end}\n${fixed(step.before)}% to ${fixed(step.after)}%: ${step.said || `${fixed(step.v)} points [${fixed(step.lo)}, ${fixed(step.hi)}]`}, n = ${step.n}\n${step.meaning}`;
    const ends = [x(step.before), x(step.after)].sort((a, b) => a - b);
    node(svg, "rect", { x: ends[0], y: top + 6, width: Math.max(2, ends[1] - ends[0]), height: 16, fill: tone, opacity: 0.75, "data-tip": tip, tabindex: 0, role: "img", "aria-label": tip });
    const text = step.said || `${step.v > 0 ? "+" : ""}${fixed(step.v)} [${fixed(step.lo)}, ${fixed(step.hi)}]`;
    const start = Math.max(left, Math.min(ends[0], width - 6.8 * text.length));
    node(svg, "text", { x: start, y: top + 34, class: "soft" }, text);
  });
}

function heat(figure, holder, hidden, choice, pick) {
  const layer = figure.layers[choice] ? choice : Object.keys(figure.layers)[0], values = figure.layers[layer];
  const left = 130, side = Math.max(15, Math.min(34, Math.floor((holder.clientWidth - left - 10) / figure.columns.length)));
  const top = 120, width = left + side * figure.columns.length + 10, height = top + side * figure.rows.length + 8;
  const svg = canvas(holder, width, height, `${figure.title}: ${layer}`);
  figure.columns.forEach((column, i) => {
    const at = left + side * (i + 0.65), label = node(svg, "text", { transform: `translate(${at},${top - 6}) rotate(-60)`, class: "soft" }, cut(column.label, 19));
    node(label, "title", {}, `${column.label} (${column.kind})`);
    if (i && column.kind !== figure.columns[i - 1].kind) node(svg, "line", { x1: left + side * i, x2: left + side * i, y1: top - 30, y2: height, class: "axis" });
  });
  figure.rows.forEach((row, j) => {
    node(svg, "text", { x: left - 8, y: top + side * (j + 0.5) + 4, "text-anchor": "end" }, cut(row, 18));
    figure.columns.forEach((column, i) => {
      const n = figure.counts[j][i], value = values[j][i];
      const cell = node(svg, "rect", { x: left + side * i + 1, y: top + side * j + 1, width: side - 2, height: side - 2, rx: 2, fill: n ? "var(--s0)" : "none", opacity: n ? 0.08 + 0.92 * (value / 100) : 1, stroke: n ? "none" : "var(--line)" });
      if (!n) return;
      cell.dataset.tip = `${row}, ${column.label}\n${layer}: ${fixed(value)}%, n = ${n}`;
      cell.addEventListener("click", () => pick({ category: row, kind: column.kind, nuisance: column.label }));
    });
  });
}
const CHARTS = { scatter, lines, forest, steps, heat };
