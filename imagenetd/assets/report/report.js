"use strict";
// Legends, tooltips, sortable tables, the gallery and its filters.
const DATA = JSON.parse(document.getElementById("data").textContent);
const make = (name, attributes, text) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
};

const redraws = DATA.figures.map((figure) => {
  const holder = document.getElementById(`figure-${figure.id}`), plot = holder.querySelector(".plot"), controls = holder.querySelector(".controls");
  const hidden = new Set(), names = figure.marks || (figure.series ? figure.series.map((s) => s.name) : []);
  let choice = "";
  const draw = () => CHARTS[figure.type](figure, plot, hidden, choice, pickCell);
  const choices = figure.layers ? Object.keys(figure.layers) : figure.panels ? figure.panels.map((p) => p.name) : [];
  if (choices.length > 1) {
    const select = make("select", { "aria-label": `${figure.title}: what is shown` });
    choices.forEach((name) => select.append(make("option", { value: name }, name)));
    select.addEventListener("change", () => { choice = select.value; draw(); });
    controls.append(select);
  }
  names.forEach((name, i) => {
    const button = make("button", { type: "button", "aria-pressed": "true", title: "show or hide" });
    const dot = make("i");
    dot.style.background = colour(i);
    button.append(dot, name);
    button.addEventListener("click", () => {
      hidden.has(name) ? hidden.delete(name) : hidden.add(name);
      button.setAttribute("aria-pressed", String(!hidden.has(name)));
      draw();
    });
    controls.append(button);
  });
  draw();
  return draw;
});
const redraw = () => redraws.forEach((draw) => draw());
let waiting = 0, lastWidth = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === lastWidth) return; // a phone's address bar changes the height alone
  lastWidth = window.innerWidth;
  clearTimeout(waiting);
  waiting = setTimeout(redraw, 150);
});
window.matchMedia("print").addEventListener("change", redraw);

const tip = document.getElementById("tip");
function showTip(target, x, y) {
  tip.textContent = target.dataset.tip;
  tip.hidden = false;
  tip.style.left = `${Math.max(6, Math.min(x + 14, window.innerWidth - tip.offsetWidth - 6))}px`;
  tip.style.top = `${y + 18 + tip.offsetHeight > window.innerHeight ? y - tip.offsetHeight - 10 : y + 18}px`;
}
document.addEventListener("pointermove", (event) => {
  const target = event.target.closest ? event.target.closest("[data-tip]") : null;
  target ? showTip(target, event.clientX, event.clientY) : (tip.hidden = true);
});
document.addEventListener("focusin", (event) => {
  if (!event.target.dataset || !event.target.dataset.tip) { tip.hidden = true; return; }
  const box = event.target.getBoundingClientRect();
  showTip(event.target, box.right, box.top);
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });

const root = document.documentElement;
const setTheme = (name) => { root.dataset.theme = name; };
setTheme(window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
document.getElementById("theme").addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark"));
let themeBefore = "light";
window.addEventListener("beforeprint", () => { themeBefore = root.dataset.theme; setTheme("light"); });
window.addEventListener("afterprint", () => setTheme(themeBefore));

function fillTable(holder, table) {
  const order = [...Array(table.values[0] ? table.values[0].length : 0).keys()];
  const element = make("table"), head = make("tr"), body = make("tbody");
  const write = () => body.replaceChildren(...order.map((row) => {
    const line = make("tr");
    table.values.forEach((column) => {
      const value = column[row];
      line.append(make("td", typeof value === "number" ? { class: "number" } : {}, value === null ? "" : value));
    });
    return line;
  }));
  table.columns.forEach((name, i) => {
    const cell = make("th", { scope: "col", "aria-sort": "none" }), button = make("button", { type: "button" }, name);
    button.addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") === "ascending";
      head.querySelectorAll("th").forEach((other) => other.setAttribute("aria-sort", "none"));
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      const values = table.values[i];
      order.sort((a, b) => {
        const [p, q] = [values[a], values[b]];
        if (p === null || q === null) return (p === null) - (q === null);
        return (typeof p === "number" && typeof q === "number" ? p - q : String(p).localeCompare(String(q))) * (down ? -1 : 1);
      });
      write();
    });
    cell.append(button);
    head.append(cell);
  });
  const top = make("thead");
  top.append(head);
  element.append(top, body);
  write();
  const scroll = make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${table.group}, ${table.name}` });
  scroll.append(element);
  holder.append(scroll);
  if (table.num_rows > order.length) holder.append(make("p", {}, `The first ${order.length} of ${table.num_rows} rows; all are in ${table.file}.`));
}

const tables = document.getElementById("tables");
let group = "";
for (const table of DATA.tables) {
  if (table.group !== group) tables.append(make("h3", {}, (group = table.group)));
  const details = make("details", { id: `table-${table.group}-${table.name}` }), summary = make("summary", {}, table.name.replaceAll("_", " "));
  summary.append(make("small", {}, ` ${table.num_rows} rows`));
  details.append(summary);
  details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) fillTable(details, table); });
  tables.append(details);
  if (DATA.tables.length === 1) details.open = true;
}

const STEP = 60, filters = {};
let limit = STEP, refresh = () => {};
function pickCell(chosen) {
  if (!DATA.cards.length) return;
  for (const [name, value] of Object.entries(chosen)) {
    const known = [...filters[name].options].some((option) => option.value === value);
    filters[name].value = known ? value : "";
  }
  filters.group.value = filters.wrong.value = filters.search.value = "";
  refresh();
  document.getElementById("gallery").scrollIntoView();
}

function card(item) {
  const holder = make("article", { class: "card" });
  const image = make("img", { src: item.src, alt: item.prompt });
  image.addEventListener("load", () => { if (image.naturalWidth < 128) image.className = "small"; });
  const text = make("div"), list = make("ul");
  text.append(make("p", { class: "prompt" }, item.prompt), make("p", { class: "where" }, `${item.group} \u00b7 ${item.kind}${item.nuisance ? `: ${item.nuisance}` : ""}`));
  item.answers.forEach(([answer, right], i) => {
    const line = make("li", DATA.models[i].role === "target" ? { class: "target" } : {});
    line.append(make("span", {}, DATA.models[i].name), make("span", { class: right ? "right" : "wrong" }, `${right ? "\u2713" : "\u2717"} ${answer}`));
    list.append(line);
  });
  text.append(list);
  holder.append(image, text);
  return holder;
}

function gallery() {
  const form = document.querySelector(".filters"), holder = document.querySelector(".cards"), count = document.getElementById("count"), more = document.getElementById("more");
  const choose = (name, label, values) => {
    const wrapper = make("label", {}, label), select = make("select", { name });
    select.append(make("option", { value: "" }, "all"));
    values.forEach(([value, text]) => select.append(make("option", { value }, text)));
    select.addEventListener("change", () => { limit = STEP; refresh(); });
    wrapper.append(select);
    form.append(wrapper);
    filters[name] = select;
  };
  const counted = (name) => {
    const found = new Map();
    DATA.cards.forEach((item) => { if (item[name]) found.set(item[name], (found.get(item[name]) || 0) + 1); });
    return [...found].sort((a, b) => a[0].localeCompare(b[0])).map(([value, n]) => [value, `${value} (${n})`]);
  };
  choose("group", "failure", counted("group"));
  for (const name of ["category", "kind", "nuisance"]) choose(name, name, counted(name));
  choose("wrong", "model that fails", DATA.models.map((model, i) => [String(i), `${model.name} (${model.relation || model.role})`]));
  const wrapper = make("label", {}, "prompt or answer"), search = make("input", { type: "search", name: "search" });
  search.addEventListener("input", () => { limit = STEP; refresh(); });
  wrapper.append(search);
  form.append(wrapper);
  filters.search = search;
  refresh = () => {
    const word = search.value.trim().toLowerCase();
    const kept = DATA.cards.filter((item) =>
      ["group", "category", "kind", "nuisance"].every((name) => !filters[name].value || item[name] === filters[name].value) &&
      (!filters.wrong.value || !item.answers[Number(filters.wrong.value)][1]) &&
      (!word || [item.prompt, ...item.answers.map((a) => a[0])].join(" ").toLowerCase().includes(word)));
    holder.replaceChildren(...kept.slice(0, limit).map(card));
    count.textContent = `${Math.min(limit, kept.length)} of ${kept.length} failures shown`;
    more.hidden = kept.length <= limit;
  };
  more.addEventListener("click", () => { limit += STEP; refresh(); });
  refresh();
}
if (DATA.cards.length) gallery();
