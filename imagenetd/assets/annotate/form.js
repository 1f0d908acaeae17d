/* Everything is in this file: the task, the pictures, the answers. Results leave as a file, or to Mechanical Turk. */

class FormSource {
  constructor() {
    this.data = JSON.parse(document.getElementById("data").textContent);
    this.drawer = new Drawer("imagenetd-form:");
    const query = new URLSearchParams(location.search);
    this.assignment = query.get("assignmentId");
    this.submitTo = this.host(query.get("turkSubmitTo")) ?? this.data.submit_to;
    this.key = `${this.data.task}:${this.assignment ?? ""}`;
    this.kept = this.drawer.read(this.key);
  }

  /* Only Mechanical Turk's own hosts may receive the answers, whatever the address says. */
  host(address) {
    try {
      const url = new URL(address);
      return url.protocol === "https:" && url.hostname.endsWith(".mturk.com") ? url.origin : null;
    } catch {
      return null;
    }
  }

  async session() {
    if (this.data.submit_to && (this.assignment ?? "ASSIGNMENT_ID_NOT_AVAILABLE") === "ASSIGNMENT_ID_NOT_AVAILABLE") {
      page.rest("This is a preview", "Accept the task to begin. This is what you will be asked to do:", "", null, { intro: true });
      return null;
    }
    return { ...this.data, trained: Boolean(this.kept.trained) };
  }

  async task() {
    this.data.slots.forEach((slot, position) => { slot.answer = this.kept[position] ?? null; });
    return { task: this.data.task, slots: this.data.slots };
  }

  save(name, position, answer) {
    this.kept[position] = answer;
    this.drawer.write(this.key, this.kept);
  }

  async trained() {
    this.kept.trained = true;
    this.drawer.write(this.key, this.kept);
  }

  async submit(name, items) {
    const answers = items.map((item, position) => ({
      position,
      can_recognise: item.answer.can_recognise,
      can_use: item.answer.can_use,
      seconds: item.answer.seconds ?? 0,
    }));
    const result = { format: this.data.format, form: this.data.form, task: name, answers };
    if (this.submitTo) return this.post(result);
    const save = () => this.download(result);
    save();
    const text = `Send the file ${this.data.file} to whoever gave you this form. If it was not saved, press the button or copy the text below.`;
    return { file: { text, save, result: JSON.stringify(result) } };
  }

  download(result) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(result)], { type: "application/json" }));
    link.download = this.data.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  post(result) {
    const form = document.createElement("form");
    form.method = "post";
    form.action = `${this.submitTo}/mturk/externalSubmit`;
    for (const [name, value] of [["assignmentId", this.assignment], ["answers", JSON.stringify(result)]]) {
      form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
    }
    document.body.append(form);
    form.submit();
    return null;
  }

  pictureFailed(page) {
    page.notice("The picture cannot be shown. Load the page again; your answers are kept.");
  }
}

const page = new Page(new FormSource());
page.begin();
