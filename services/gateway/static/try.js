// "Try it" on a model's page: a picture goes to the API once for each network that is asked, and the answers stand side
// by side. What is drawn comes from there; the slider only hides objects.
(() => {
  const API = "/api/v1";
  const LOWEST = 0.05; // confidence that is asked for
  const SHELF = 24; // captures offered at a time
  const BARS = 6;
  const EDGE = 0.08; // of the picture: a box nearer to its upper edge has its name inside
  const make = (tag, classes, parent, text = "", mark = "") => {
    const made = document.createElement(tag);
    made.className = classes;
    made.textContent = text;
    if (mark) made.dataset.testid = mark;
    if (tag === "button") made.type = "button";
    parent.append(made);
    return made;
  };
  const percent = (share) => `${(share * 100).toFixed(1)} %`;
  const fill = (text, fields) => text.replace(/\{(\w+)\}/g, (_, name) => fields[name]);

  const trials = new Map(); // model -> the Trial on the page: the next one, when the page is drawn anew, goes on with its state

  async function answered(response) {
    const answer = await response.json();
    if (!response.ok) throw Object.assign(new Error(`${answer.error.message} ${answer.error.fix}`), { reason: answer.error.reason });
    return answer;
  }

  class Trial {
    constructor(root) {
      const data = root.dataset;
      Object.assign(this, { root, model: data.model, project: data.project, detects: data.task === "detection" });
      for (const name of ["texts", "targets", "labels", "colours"]) this[name] = JSON.parse(data[name]);
      Object.assign(this, { limit: Number(data.limit), token: "" });
      this.state = trials.get(this.model)?.state ?? {
        file: null,
        label: "",
        turn: 0,
        threshold: 0.5,
        asked: new Set(Object.keys(this.targets).slice(0, 2)),
        answers: new Map(), // target -> its answer, null while it is awaited
        wrong: new Set(), // sentences
      };
      trials.set(this.model, this);
      this.build();
      this.draw();
      this.offer().catch((error) => this.refuse(error));
    }

    // -- what a person does -----------------------------------------------------------------------------------

    build() {
      const line = make("div", "line wrap", this.root);
      this.files = this.chooser(line, "try-file", "btn primary", "add_photo_alternate", this.texts.choose);
      this.chooser(line, "try-photo", "btn plain touch", "photo_camera", this.texts.photo).setAttribute("capture", "environment");
      for (const [target, name] of Object.entries(this.targets)) this.chip(line, target, name);
      if (this.detects) this.slider(line);
      this.shelf = make("div", "try-shelf hidden", this.root);
      this.alert = make("div", "error-box", this.root, "", "try-error");
      this.alert.setAttribute("role", "alert");
      this.results = make("div", "try-results", this.root);
      this.results.setAttribute("aria-live", "polite");
      this.note = make("p", "faint", this.root, this.texts.time_help);
      for (const kind of ["dragenter", "dragover"]) this.root.addEventListener(kind, (event) => this.drag(event, true));
      this.root.addEventListener("dragleave", (event) => this.drag(event, this.root.contains(event.relatedTarget)));
      this.root.addEventListener("drop", (event) => {
        this.drag(event, false);
        this.take(event.dataTransfer.files[0]);
      });
    }

    chooser(parent, mark, classes, icon, text) {
      const field = make("input", "hidden", parent, "", mark);
      Object.assign(field, { type: "file", accept: "image/jpeg,image/png" });
      field.addEventListener("change", () => { this.take(field.files[0]); field.value = ""; });
      const opener = make("button", `${classes} line`, parent, "", `${mark}-button`);
      make("i", "material-icons-outlined icon", opener, icon);
      make("span", "", opener, text);
      opener.addEventListener("click", () => field.click());
      return field;
    }

    chip(parent, target, name) {
      const chip = make("button", "chip", parent, name, "try-target");
      chip.dataset.target = target;
      const paint = () => {
        chip.classList.toggle("on", this.state.asked.has(target));
        chip.setAttribute("aria-pressed", this.state.asked.has(target));
      };
      paint();
      chip.addEventListener("click", () => {
        if (!this.state.asked.delete(target)) this.state.asked.add(target);
        if (!this.state.asked.size) this.state.asked.add(target);
        paint();
        this.run();
      });
    }

    slider(parent) {
      const label = make("label", "line try-slider", parent, this.texts.confidence);
      const slider = make("input", "", label, "", "try-confidence");
      Object.assign(slider, { type: "range", min: LOWEST, max: 0.95, step: 0.05, value: this.state.threshold });
      const value = make("b", "num", label, this.state.threshold.toFixed(2));
      slider.addEventListener("input", () => {
        this.state.threshold = Number(slider.value);
        value.textContent = this.state.threshold.toFixed(2);
        this.draw();
      });
    }

    drag(event, over) {
      event.preventDefault();
      this.root.classList.toggle("over", over);
    }

    async offer() {
      const query = new URLSearchParams({ page_size: SHELF, page_token: this.token });
      const page = await answered(await fetch(`${API}/projects/${this.project}/captures?${query}`));
      this.token = page.next_page_token;
      if (this.further) this.further.remove();
      for (const capture of page.captures) this.offered(capture);
      this.shelf.classList.toggle("hidden", !this.shelf.children.length);
      if (!this.token) return;
      this.further = make("button", "chip", this.shelf, this.texts.more, "try-more");
      this.further.addEventListener("click", () => this.offer().catch((error) => this.refuse(error)));
    }

    offered(capture) {
      const tile = make("button", "shot", this.shelf, "", "try-capture");
      tile.title = capture.label;
      const picture = make("img", "", tile);
      Object.assign(picture, { loading: "lazy", alt: capture.label, src: `${API}/captures/${capture.id}/thumbnail?size=128` });
      tile.addEventListener("click", async () => {
        try {
          const response = await fetch(`${API}/captures/${capture.id}/image`);
          if (!response.ok) await answered(response);
          this.take(new File([await response.blob()], `${capture.id}.jpg`), capture.label, tile);
        } catch (error) { this.refuse(error); }
      });
    }

    // -- questions and answers --------------------------------------------------------------------------------

    take(file, label = "", tile = null) {
      if (!file) return;
      Object.assign(this.state, { file, label, turn: this.state.turn + 1 });
      for (const one of this.shelf.children) one.classList.toggle("on", one === tile);
      this.state.answers.clear();
      this.state.wrong.clear();
      if (file.size > this.limit) return this.refuse({ reason: "PICTURE_TOO_LARGE" });
      this.run();
    }

    run() {
      if (!this.state.file || this.state.file.size > this.limit) return this.draw();
      this.state.wrong.clear();
      for (const target of this.state.asked) if (!this.state.answers.has(target)) this.ask(target, this.state.turn);
      this.draw();
    }

    async ask(target, turn) {
      this.state.answers.set(target, null);
      const query = new URLSearchParams({ target, confidence: LOWEST, show_input: true });
      const body = new FormData();
      body.append("file", this.state.file);
      try {
        const response = await fetch(`${API}/models/${this.model}/predict?${query}`, { method: "POST", headers: { "X-Boardloop": "1" }, body });
        const answer = await answered(response);
        if (turn === this.state.turn) this.state.answers.set(target, answer);
      } catch (error) {
        if (turn !== this.state.turn) return;
        this.state.answers.delete(target);
        return this.refuse(error);
      }
      this.draw();
    }

    refuse(error) {
      const known = this.texts[error.reason || "OFFLINE"]; // fetch itself fails without a reason
      this.state.wrong.add(known ? fill(known, { file: this.state.file ? this.state.file.name : "" }) : error.message);
      this.draw();
    }

    // -- what is seen -----------------------------------------------------------------------------------------

    draw() {
      if (trials.get(this.model) !== this) return trials.get(this.model).draw(); // the page was drawn anew meanwhile
      this.alert.textContent = [...this.state.wrong].join(" ");
      this.alert.classList.toggle("hidden", !this.state.wrong.size);
      this.results.replaceChildren();
      const shown = Object.keys(this.targets).filter((target) => this.state.asked.has(target) && this.state.answers.has(target));
      this.note.classList.toggle("hidden", !shown.length);
      if (!shown.length) return this.invite();
      const known = shown.map((target) => this.state.answers.get(target)).find(Boolean);
      if (known && !this.detects) this.picture(make("div", "stack tight", this.results), known, []);
      const columns = make("div", "try-columns", this.results);
      for (const target of shown) this.column(columns, target, this.state.answers.get(target));
    }

    invite() {
      const box = make("button", "empty full", this.results, "", "try-invite");
      make("span", "material-icons-outlined", box, "image_search");
      make("span", "", box, this.texts.invite);
      box.addEventListener("click", () => this.files.click());
    }

    column(parent, target, answer) {
      const column = make("div", "stack tight", parent, "", "try-answer");
      column.dataset.target = target;
      const head = make("div", "line between", column);
      make("strong", "", head, this.targets[target]);
      if (!answer) return make("span", "faint working", column, this.texts.asking);
      const time = make("span", "faint num", head, fill(this.texts.time, { ms: (answer.seconds * 1000).toPrecision(2) / 1 }), "try-time");
      time.title = this.texts.time_help;
      if (this.detects) return this.objects(column, answer);
      const rows = Object.entries(answer.scores).sort((one, other) => other[1] - one[1]);
      rows.slice(0, BARS).forEach(([label, score], place) => this.bar(column, label, score, !place));
      const rest = rows.length - BARS;
      if (rest > 0) make("span", "faint", column, fill(this.texts.rest, { count: rest }));
    }

    objects(column, answer) {
      const found = answer.objects.filter((one) => one.confidence > this.state.threshold);
      this.picture(column, answer, found);
      found.slice(0, BARS).forEach((one) => this.bar(column, one.label, one.confidence, false));
      const rest = found.length - BARS;
      if (rest > 0) make("span", "faint", column, fill(this.texts.rest, { count: rest }));
      if (!found.length) make("span", "muted", column, this.texts.nothing, "try-nothing");
    }

    picture(parent, answer, found) {
      const frame = make("div", "boxed", parent);
      const image = make("img", "", frame, "", "try-input");
      Object.assign(image, { src: answer.input_data_url, alt: this.state.file.name });
      for (const one of found) this.box(frame, one);
      const caption = make("span", "faint num", parent, this.texts.input);
      image.addEventListener("load", () => { caption.textContent = `${image.naturalWidth} × ${image.naturalHeight} · ${this.texts.input}`; });
      if (this.state.label) make("span", "faint", parent, fill(this.texts.truth, { label: this.state.label }), "try-truth");
    }

    box(frame, one) {
      const place = [one.top < EDGE ? "inside" : "", one.left > 0.5 ? "leftwards" : ""].join(" ");
      const box = make("div", `box ${place}`, frame, "", "try-box");
      const share = (value) => `${value * 100}%`;
      const size = { width: share(one.right - one.left), height: share(one.bottom - one.top) };
      Object.assign(box.style, { left: share(one.left), top: share(one.top), ...size });
      box.style.setProperty("--c", this.colour(one.label));
      make("span", "box-name", box, `${one.label} ${percent(one.confidence)}`);
    }

    bar(parent, label, share, first) {
      const row = make("div", first ? "try-bar first" : "try-bar", parent, "", "try-score");
      const line = make("div", "line between", row);
      make("span", "name", line, label);
      make("span", "num", line, percent(share));
      const fillIn = make("div", "", make("div", "bar", row));
      fillIn.style.width = `${share * 100}%`;
      fillIn.style.background = this.colour(label);
    }

    colour(label) { return this.colours[Math.max(0, this.labels.indexOf(label)) % this.colours.length]; }
  }

  const begin = () => document.querySelectorAll("[data-trial]:not([data-begun])").forEach((root) => {
    root.dataset.begun = "";
    new Trial(root);
  });
  new MutationObserver(begin).observe(document.documentElement, { childList: true, subtree: true }); // Vue draws the page late
  begin();
})();
