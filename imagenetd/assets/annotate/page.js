"use strict";
/* The picture, the two questions, the keys. Where tasks come from and where answers go is a `source`:
   server.js talks to the server, form.js keeps everything in the file. Text enters the page as text, never as markup. */

class Page {
  constructor(source) {
    this.source = source;
    this.items = [];
    this.at = 0;
    this.mode = "rest"; // "examples", "task", "rest"
    this.shownAt = 0;
    this.busy = false;
    this.onGo = null;
    this.onBack = null;
    this.listen();
  }

  part(id) {
    return document.getElementById(id);
  }

  listen() {
    const on = (id, event, act) => this.part(id).addEventListener(event, act);
    on("form", "submit", (event) => { event.preventDefault(); this.next(); });
    on("form", "change", (event) => this.choose(event.target.name, event.target.value === "yes"));
    on("back", "click", () => this.back());
    on("next", "click", (event) => { event.preventDefault(); this.next(); });
    on("zoom", "click", () => this.zoom());
    on("picture", "click", () => this.zoom());
    on("picture", "load", () => { this.shownAt = performance.now(); });
    on("picture", "error", () => this.source.pictureFailed(this));
    on("help-button", "click", () => this.part("help").showModal());
    on("help-close", "click", () => this.part("help").close());
    on("again", "click", () => { this.part("help").close(); this.examples(); });
    on("rest-go", "click", () => this.onGo && this.onGo());
    on("rest-back", "click", () => this.onBack && this.onBack());
    document.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || this.part("help").open) return;
    if (event.target.id === "result") return;
    const working = this.mode !== "rest";
    const acts = {
      1: () => working && this.choose("can_recognise", true),
      2: () => working && this.choose("can_recognise", false),
      3: () => working && this.choose("can_use", true),
      4: () => working && this.choose("can_use", false),
      y: () => working && this.chooseOpen(true),
      n: () => working && this.chooseOpen(false),
      z: () => working && this.zoom(),
      escape: () => this.part("figure").classList.contains("large") && this.zoom(),
      backspace: () => (working ? this.back() : this.onBack && this.onBack()),
      "?": () => this.part("help").showModal(),
    };
    const name = event.key.toLowerCase();
    if (name === "enter") {
      if (event.target.tagName === "BUTTON") { if (event.repeat) event.preventDefault(); return; }
      event.preventDefault();
      if (!event.repeat) working ? this.next() : this.onGo && this.onGo();
    } else if (Object.hasOwn(acts, name)) {
      event.preventDefault();
      if (!event.repeat) acts[name]();
    }
  }

  /* ---- the course of the work ---- */

  async begin() {
    const session = await this.source.session();
    if (!session) return;
    this.session = session;
    this.count(session.num_sent);
    if (session.trained || session.examples.length === 0) return this.task();
    this.rest("Before you begin", "", "See the examples", () => this.examples(), { intro: true });
  }

  examples() {
    if (!this.session || this.session.examples.length === 0) return;
    this.mode = "examples";
    this.items = this.session.examples.map((one) => ({ ...one, right: one.answer, answer: null, told: false }));
    this.show(0);
  }

  async task() {
    const task = await this.source.task();
    if (!task) return;
    if (task.task === null) return this.nothing();
    this.name = task.task;
    this.mode = "task";
    this.items = task.slots;
    const open = this.items.findIndex((item) => !isWhole(item.answer));
    open < 0 ? this.review() : this.show(open);
  }

  nothing() {
    this.rest("All done", "There is nothing left for you to look at. Thank you. You can close this page.");
  }

  review() {
    const count = this.items.length;
    this.rest(
      "All pictures answered",
      `Send your answers to the ${count} pictures? After that they cannot be changed.`,
      "Send",
      () => this.send(),
      { back: () => { this.mode = "task"; this.show(count - 1); } },
    );
  }

  async send() {
    if (this.busy) return;
    this.busy = true;
    const outcome = await this.source.submit(this.name, this.items);
    this.busy = false;
    if (!outcome) return;
    if (outcome.open !== undefined) { this.mode = "task"; return this.show(outcome.open); }
    this.count(outcome.num_sent);
    this.sent(outcome);
  }

  sent(outcome) {
    if (outcome.file) return this.rest("Done", outcome.file.text, "Save the results", outcome.file.save, { result: outcome.file.result });
    const title = outcome.gone ? "This task went to somebody else" : "Sent, thank you";
    const text = outcome.gone ? "You were away for a long time." : "A good moment for a break. The next task waits until you ask for it.";
    this.rest(title, text, "Next task", () => this.task());
  }

  /* ---- one picture ---- */

  show(at) {
    this.at = at;
    const item = this.items[at];
    const count = this.items.length;
    const label = this.mode === "examples" ? "Example" : "Picture";
    this.reveal("work");
    this.part("place").textContent = `${label} ${at + 1} of ${count}`;
    const picture = this.part("picture");
    picture.alt = `${label} ${at + 1} of ${count}`;
    if (picture.getAttribute("src") !== item.image) picture.setAttribute("src", item.image);
    else this.shownAt = performance.now();
    this.part("object").textContent = item.category;
    for (const number of [1, 2]) {
      const legend = this.part(`question-${number}`).querySelector("legend");
      legend.dataset.text ??= legend.textContent;
      legend.textContent = legend.dataset.text.replace("{object}", () => item.category);
    }
    this.part("back").disabled = at === 0;
    this.part("figure").classList.remove("large");
    this.refuse("");
    this.mark();
    this.part("figure").focus({ preventScroll: true });
    window.scrollTo(0, 0);
    if (at + 1 < count) new Image().src = this.items[at + 1].image;
  }

  choose(question, value) {
    const item = this.items[this.at];
    if (item.told) return this.mark();
    const seconds = Math.max(0, (performance.now() - this.shownAt) / 1000);
    item.answer = { can_recognise: null, can_use: null, ...item.answer, [question]: value, seconds };
    this.refuse("");
    this.mark();
    if (this.mode === "task") this.source.save(this.name, this.at, item.answer);
  }

  chooseOpen(value) {
    const answer = this.items[this.at].answer;
    if (!answer || typeof answer.can_recognise !== "boolean") this.choose("can_recognise", value);
    else this.choose("can_use", value);
  }

  next() {
    const item = this.items[this.at];
    if (!isWhole(item.answer)) {
      const first = typeof item.answer?.can_recognise === "boolean" ? 2 : 1;
      this.refuse("Both questions need an answer before you go on.", first);
      return;
    }
    if (this.mode === "examples" && !item.told) { item.told = true; this.mark(); return; }
    if (this.at + 1 < this.items.length) return this.show(this.at + 1);
    this.mode === "examples" ? this.trained() : this.review();
  }

  async trained() {
    const first = !this.session.trained;
    this.session.trained = true;
    await this.source.trained();
    if (!first) return this.task();
    this.rest("Now the real pictures", "You can go back within a task and change an answer until you send it.", "Begin", () => this.task());
  }

  back() {
    if (this.at > 0) this.show(this.at - 1);
  }

  zoom() {
    const large = this.part("figure").classList.toggle("large");
    this.part("zoom").setAttribute("aria-pressed", String(large));
    this.part("zoom").firstChild.textContent = large ? "Smaller " : "Larger ";
  }

  /* ---- what is seen ---- */

  mark() {
    const item = this.items[this.at];
    for (const input of document.querySelectorAll("#form input")) {
      input.checked = item.answer?.[input.name] === (input.value === "yes");
      input.disabled = Boolean(item.told);
    }
    this.part("next").setAttribute("aria-disabled", String(!isWhole(item.answer)));
    const whole = this.items.filter((one) => isWhole(one.answer)).length;
    this.part("progress").max = this.items.length;
    this.part("progress").value = whole;
    const right = this.part("right");
    right.hidden = !item.told;
    if (item.told) this.tell(right, item);
  }

  tell(box, item) {
    const word = (value) => (value ? "yes" : "no");
    const same = item.right.can_recognise === item.answer.can_recognise && item.right.can_use === item.answer.can_use;
    box.classList.toggle("wrong", !same);
    const lines = [
      `${same ? "Right" : "Look again"}: the answers are ${word(item.right.can_recognise)} and ${word(item.right.can_use)}.`,
      item.reason,
    ];
    box.replaceChildren(...lines.map((line) => Object.assign(document.createElement("p"), { textContent: line })));
  }

  refuse(text, question) {
    this.part("refusal").textContent = text;
    for (const number of [1, 2]) this.part(`question-${number}`).classList.toggle("open", number === question);
    if (question) this.part(`question-${question}`).querySelector("input").focus();
  }

  count(sent) {
    if (sent === undefined) return;
    this.part("done").textContent = `${this.session.worker}: ${sent === 1 ? "1 task" : `${sent} tasks`} sent`;
  }

  rest(title, text, go, onGo, { back = null, intro = false, result = null } = {}) {
    this.mode = "rest";
    this.onGo = onGo || null;
    this.onBack = back;
    this.reveal("rest");
    this.part("place").textContent = title;
    this.part("rest-title").textContent = title;
    this.part("rest-text").textContent = text;
    this.part("rest-text").hidden = !text;
    this.part("intro").hidden = !intro;
    this.part("result").hidden = result === null;
    this.part("result").value = result ?? "";
    this.part("rest-back").hidden = !back;
    const button = this.part("rest-go");
    button.hidden = !go;
    button.textContent = go || "";
    (go ? button : this.part("rest")).focus();
  }

  reveal(id) {
    for (const section of ["work", "rest"]) this.part(section).hidden = section !== id;
  }

  notice(text) {
    const notice = this.part("notice");
    notice.textContent = text;
    notice.hidden = !text;
  }
}

function isWhole(answer) {
  return typeof answer?.can_recognise === "boolean" && typeof answer?.can_use === "boolean";
}

/* What this browser keeps until it is sent; a private window that keeps nothing still works. */
class Drawer {
  constructor(prefix) {
    this.prefix = prefix;
  }

  read(name) {
    try {
      return JSON.parse(localStorage.getItem(this.prefix + name)) ?? {};
    } catch {
      return {};
    }
  }

  write(name, content) {
    try {
      localStorage.setItem(this.prefix + name, JSON.stringify(content));
    } catch {
      this.isFull = true; // the answers stay in this page and go to the server all the same
    }
  }

  keepOnly(name) {
    try {
      for (const key of Object.keys(localStorage)) {
        if (key.startsWith(this.prefix) && key !== this.prefix + name) localStorage.removeItem(key);
      }
    } catch {
      this.isFull = true;
    }
  }
}
