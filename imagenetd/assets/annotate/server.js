/* Tasks from the server, answers to it. An answer is kept in this browser until the server has it. */

class ServerSource {
  constructor() {
    this.drawer = new Drawer("imagenetd:");
    this.csrf = "";
    this.name = null;
    this.kept = {}; // position -> answer, of the task in hand; `unsent` until the server has it
    this.flushing = null;
  }

  async session() {
    const session = await this.call("GET", "/api/session");
    if (session.error) return this.stop(session.error);
    this.csrf = session.csrf;
    return session;
  }

  async task() {
    const task = await this.call("POST", "/api/task", {});
    if (task.error) return this.stop(task.error);
    this.name = task.task;
    if (task.task === null) return task;
    this.drawer.keepOnly(task.task);
    this.kept = this.drawer.read(task.task);
    task.slots.forEach((slot, position) => { slot.answer = this.kept[position] ?? slot.answer; });
    this.flush();
    return task;
  }

  save(name, position, answer) {
    this.kept[position] = { ...answer, unsent: true };
    this.drawer.write(name, this.kept);
    if (isWhole(answer)) this.flush();
  }

  /* Send what is unsent, in the order of the pictures; one request at a time. */
  flush() {
    this.flushing ??= this.sendAll().finally(() => { this.flushing = null; });
    return this.flushing;
  }

  async sendAll() {
    for (;;) {
      const name = this.name;
      const position = Object.keys(this.kept).map(Number).sort((a, b) => a - b)
        .find((one) => this.kept[one].unsent && isWhole(this.kept[one]));
      if (position === undefined) return null;
      const answer = this.kept[position];
      const { can_recognise, can_use, seconds } = answer;
      const outcome = await this.call("POST", "/api/answer", { task: name, position, can_recognise, can_use, seconds });
      if (outcome.error) return outcome.error;
      if (this.kept[position] === answer) answer.unsent = false;
      this.drawer.write(name, this.kept);
    }
  }

  async submit(name, items) {
    items.forEach((item, position) => { if (!this.kept[position] && item.answer) this.kept[position] = { ...item.answer }; });
    let error = await this.flush() ?? (await this.flush());
    let outcome = {};
    if (!error) {
      outcome = await this.call("POST", "/api/submit", { task: name });
      error = outcome.error;
    }
    if (error?.code === "question_open") {
      const open = items.findIndex((item) => !isWhole(item.answer));
      return { open: Math.max(0, open) };
    }
    if (["given_away", "unknown"].includes(error?.code)) return { gone: true };
    if (error && error.code !== "already_submitted") return this.stop(error);
    this.drawer.keepOnly("");
    this.kept = {};
    return outcome.error ? {} : outcome;
  }

  async trained() {
    await this.call("POST", "/api/examples", {});
  }

  pictureFailed(page) {
    page.notice("The picture did not load. Trying again.");
    const picture = page.part("picture");
    const address = picture.getAttribute("src");
    setTimeout(() => {
      if (picture.getAttribute("src") !== address) return;
      picture.removeAttribute("src");
      picture.addEventListener("load", () => page.notice(""), { once: true });
      picture.setAttribute("src", address);
    }, 2000);
  }

  stop(error) {
    page.rest("The work stops here", error.message);
    return null;
  }

  /* One request; repeated while the server is away. Every request may be repeated without harm. */
  async call(method, path, body) {
    for (let wait = 500; ; wait = Math.min(wait * 2, 10000)) {
      try {
        const response = await fetch(path, {
          method,
          headers: body ? { "content-type": "application/json", "x-csrf-token": this.csrf } : {},
          body: body && JSON.stringify(body),
        });
        const content = await response.json();
        if (response.status < 500) {
          page.notice("");
          return response.ok ? content : { error: content };
        }
        page.notice(content.message);
      } catch {
        page.notice("No connection. Your answers are kept here and are sent when the connection is back.");
      }
      await new Promise((done) => {
        setTimeout(done, wait);
        window.addEventListener("online", done, { once: true });
      });
    }
  }
}

const page = new Page(new ServerSource());
page.begin();
