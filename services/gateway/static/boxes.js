// The box editor of /projects/…/boxes: draw, move, resize, label. Every change is sent to the API at once; the list of
// pictures and each picture's boxes come from there too. Coordinates are shares of the picture, 0 to 1.
(() => {
  const API = "/api/v1";
  const CLICK_PX = 4; // a shorter drag is a click
  const PAGE = 100;
  const SIDES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
  const clamp = (value, low = 0, high = 1) => Math.min(high, Math.max(low, value));
  const make = (tag, classes, parent, text = "") => {
    const made = document.createElement(tag);
    made.className = classes;
    made.textContent = text;
    parent.append(made);
    return made;
  };

  async function call(method, path, body) {
    const headers = { "X-Boardloop": "1", ...(body ? { "Content-Type": "application/json" } : {}) };
    const response = await fetch(API + path, { method, headers, body: body && JSON.stringify(body) });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${answer.error.message} ${answer.error.fix}`);
    return answer;
  }

  class Editor {
    constructor(root) {
      Object.assign(this, { root, texts: JSON.parse(root.dataset.texts), labels: JSON.parse(root.dataset.labels) });
      this.colours = JSON.parse(root.dataset.colours);
      this.project = root.dataset.project;
      this.filter = new URLSearchParams(root.dataset.filter);
      this.label = this.labels[0] || "";
      Object.assign(this, { list: [], place: -1, token: "", boxes: [], boxed: false, chosen: -1, past: [], future: [] });
      this.saving = Promise.resolve();
      this.build();
      addEventListener("keydown", (event) => this.key(event));
      this.start(root.dataset.capture).catch((error) => this.say(error.message, true));
    }

    build() {
      const bar = make("div", "box-bar", this.root);
      const tool = (mark, icon, title, work) => {
        const made = make("button", "tool", bar);
        made.type = "button";
        made.dataset.testid = `box-${mark}`;
        made.title = title;
        made.setAttribute("aria-label", title);
        make("i", "material-icons-outlined icon", made, icon);
        made.addEventListener("click", work);
        return made;
      };
      this.before = tool("previous", "chevron_left", this.texts.previous, () => this.step(-1));
      this.count = make("span", "num muted", bar);
      this.after = tool("next", "chevron_right", this.texts.next, () => this.step(1));
      this.undoTool = tool("undo", "undo", this.texts.undo, () => this.undo());
      this.redoTool = tool("redo", "redo", this.texts.redo, () => this.redo());
      this.removeTool = tool("delete", "delete_outline", this.texts.remove, () => this.remove());
      this.nothing = make("button", "chip", bar, this.texts.nothing);
      this.nothing.type = "button";
      this.nothing.dataset.testid = "box-nothing";
      this.nothing.addEventListener("click", () => this.change([], true));
      this.state = make("span", "num box-state", bar);
      this.state.dataset.testid = "box-state";
      this.state.setAttribute("role", "status");
      const choice = make("div", "line wrap", this.root);
      this.names = make("div", "line wrap chips", choice);
      this.adder(choice);
      this.stage = make("div", "box-stage", make("div", "box-frame", this.root));
      this.stage.dataset.testid = "box-stage";
      this.picture = make("img", "", this.stage);
      this.picture.alt = "";
      this.picture.draggable = false;
      this.layer = make("div", "box-layer", this.stage);
      this.stage.addEventListener("pointerdown", (event) => this.press(event));
      make("p", "faint", this.root, this.texts.hint);
    }

    adder(parent) {
      const form = make("form", "line box-adder", parent);
      const field = make("input", "", form);
      Object.assign(field, { placeholder: this.texts.new_label, maxLength: 32 });
      field.dataset.testid = "box-new-label";
      make("button", "chip", form, this.texts.add);
      form.addEventListener("submit", async (event) => {
        event.preventDefault();
        const name = field.value.trim();
        if (!name) return;
        try {
          const known = (await call("GET", `/projects/${this.project}`)).labels;
          this.labels = (await call("PUT", `/projects/${this.project}/labels`, { labels: [...known, name] })).labels;
          this.label = name;
          field.value = "";
          field.blur();
          this.draw();
        } catch (error) { this.say(error.message, true); }
      });
    }

    // -- pictures ---------------------------------------------------------------------------------------------

    async start(wanted) {
      await this.more();
      let place = wanted ? this.list.indexOf(wanted) : 0;
      while (place < 0 && this.token) { await this.more(); place = this.list.indexOf(wanted); }
      if (place < 0) { this.list.unshift(wanted); place = 0; }
      if (!this.list.length) return this.say(this.texts.none);
      await this.open(place);
    }

    async more() {
      const query = new URLSearchParams(this.filter);
      query.set("page_size", PAGE);
      if (this.token) query.set("page_token", this.token);
      const answer = await call("GET", `/projects/${this.project}/captures?${query}`);
      this.list.push(...answer.captures.map((one) => one.id));
      this.token = answer.next_page_token;
    }

    async step(by) {
      try {
        if (this.place + by >= this.list.length && this.token) await this.more();
        if (this.list[this.place + by]) await this.open(this.place + by);
      } catch (error) { this.say(error.message, true); }
    }

    async open(place) {
      this.place = place;
      const id = this.list[place];
      await this.saving;
      const capture = await call("GET", `/captures/${id}`);
      if (this.list[this.place] !== id) return; // another one was asked for meanwhile
      Object.assign(this, { id, boxes: capture.boxes, boxed: capture.boxed, chosen: -1, past: [], future: [], size: capture });
      this.picture.src = `${API}/captures/${id}/image`;
      this.stage.dataset.id = id;
      this.stage.style.setProperty("--ratio", capture.width / capture.height);
      const address = new URL(location.href);
      address.searchParams.set("capture", id);
      history.replaceState(history.state, "", address);
      this.draw();
      this.tell();
    }

    // -- changes ----------------------------------------------------------------------------------------------

    change(boxes, boxed = true) {
      if (!this.id) return;
      this.past.push({ boxes: this.boxes, boxed: this.boxed });
      this.future = [];
      this.put(boxes, boxed);
    }

    put(boxes, boxed) {
      Object.assign(this, { boxes, boxed });
      if (this.chosen >= boxes.length) this.chosen = -1;
      this.draw();
      const id = this.id;
      this.say(this.texts.saving);
      this.saving = this.saving.then(async () => {
        try {
          if (boxed) await call("PUT", `/captures/${id}/boxes`, { boxes });
          else await call("DELETE", `/captures/${id}/boxes`);
          if (this.boxes === boxes) this.tell();
        } catch (error) { this.say(`${this.texts.not_saved} ${error.message}`, true); }
      });
    }

    back(from, to) {
      const then = from.pop();
      if (!then) return;
      to.push({ boxes: this.boxes, boxed: this.boxed });
      this.put(then.boxes, then.boxed);
    }
    undo() { this.back(this.past, this.future); }
    redo() { this.back(this.future, this.past); }
    remove() { if (this.chosen >= 0) this.change(this.boxes.filter((_, index) => index !== this.chosen)); }

    choose(label) {
      this.label = label;
      const box = this.boxes[this.chosen];
      if (box && box.label !== label) this.change(this.boxes.map((one) => (one === box ? { ...one, label } : one)));
      else this.draw();
    }

    // -- the pointer ------------------------------------------------------------------------------------------

    at(event) {
      const area = this.stage.getBoundingClientRect();
      return { x: clamp((event.clientX - area.left) / area.width), y: clamp((event.clientY - area.top) / area.height) };
    }

    press(event) {
      if (event.button || !this.id) return;
      event.preventDefault();
      if (document.activeElement) document.activeElement.blur();
      const begin = this.at(event);
      const element = event.target.closest("[data-index]");
      const index = element && !event.shiftKey ? Number(element.dataset.index) : -1;
      const side = event.target.dataset.side || "";
      const old = this.boxes[index];
      if (old && this.chosen !== index) { this.chosen = index; this.label = old.label; this.draw(); }
      if (!old && !this.label) return this.say(this.texts.no_label, true);
      const shape = (now) => (!old ? this.drawn(begin, now) : side ? resized(old, side, now) : moved(old, now.x - begin.x, now.y - begin.y));
      const far = (one) => Math.hypot(one.clientX - event.clientX, one.clientY - event.clientY) > CLICK_PX;
      let dragged = false;
      const move = (one) => { dragged = dragged || far(one); if (dragged) this.draw({ index, box: shape(this.at(one)) }); };
      const end = (one) => {
        this.stage.removeEventListener("pointermove", move);
        this.stage.removeEventListener("pointerup", end);
        this.stage.removeEventListener("pointercancel", end);
        const box = shape(this.at(one));
        const sees = box.width * this.size.width >= 1 && box.height * this.size.height >= 1;
        if (one.type === "pointercancel" || !dragged || !sees) {
          if (!old) this.chosen = -1;
          return this.draw();
        }
        if (!old) this.chosen = this.boxes.length;
        this.change(old ? this.boxes.map((kept, place) => (place === index ? box : kept)) : [...this.boxes, box]);
      };
      this.stage.setPointerCapture(event.pointerId);
      this.stage.addEventListener("pointermove", move);
      this.stage.addEventListener("pointerup", end);
      this.stage.addEventListener("pointercancel", end);
    }

    drawn(from, to) {
      const [x, y] = [Math.min(from.x, to.x), Math.min(from.y, to.y)];
      return { label: this.label, x, y, width: Math.abs(to.x - from.x), height: Math.abs(to.y - from.y) };
    }

    key(event) {
      if (event.target.closest("input, textarea, [contenteditable]")) return;
      const command = event.ctrlKey || event.metaKey;
      const letter = event.key.toLowerCase();
      const keys = {
        ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1), Delete: () => this.remove(),
        Backspace: () => this.remove(), Escape: () => { this.chosen = -1; this.draw(); }, 0: () => this.change([], true),
      };
      let work = null;
      if (command && letter === "z") work = () => (event.shiftKey ? this.redo() : this.undo());
      else if (command && letter === "y") work = () => this.redo();
      else if (!command && !event.altKey && this.labels[Number(event.key) - 1]) work = () => this.choose(this.labels[Number(event.key) - 1]);
      else if (!command && !event.altKey) work = keys[event.key];
      if (!work) return;
      event.preventDefault();
      work();
    }

    // -- what is seen -----------------------------------------------------------------------------------------

    colour(label) { return this.colours[Math.max(0, this.labels.indexOf(label)) % this.colours.length]; }

    draw(change) {
      this.layer.replaceChildren();
      const boxes = [...this.boxes];
      if (change) boxes[change.index < 0 ? boxes.length : change.index] = change.box;
      boxes.forEach((box, index) => this.drawBox(box, index));
      this.names.replaceChildren();
      this.labels.forEach((label, index) => {
        const chip = make("button", label === this.label ? "chip on" : "chip", this.names);
        chip.type = "button";
        chip.dataset.testid = `box-label-${label}`;
        make("i", "dot", chip).style.setProperty("--c", this.colour(label));
        make("span", "", chip, label);
        if (index < 9) make("b", "", chip, index + 1);
        chip.addEventListener("click", () => this.choose(label));
      });
      this.nothing.classList.toggle("on", this.boxed && !this.boxes.length);
      this.undoTool.disabled = !this.past.length;
      this.redoTool.disabled = !this.future.length;
      this.removeTool.disabled = this.chosen < 0;
      this.before.disabled = this.place <= 0;
      this.after.disabled = this.place + 1 >= this.list.length && !this.token;
      this.count.textContent = this.list.length ? `${this.place + 1} / ${this.list.length}${this.token ? "+" : ""}` : "";
    }

    drawBox(box, index) {
      const element = make("div", index === this.chosen ? "box chosen" : "box", this.layer);
      element.dataset.index = index;
      element.dataset.testid = "box";
      const share = (value) => `${value * 100}%`;
      Object.assign(element.style, { left: share(box.x), top: share(box.y), width: share(box.width), height: share(box.height) });
      element.style.setProperty("--c", this.colour(box.label));
      make("span", "box-name", element, box.label);
      if (index === this.chosen) SIDES.forEach((side) => { make("i", `grip ${side}`, element).dataset.side = side; });
    }

    tell() {
      const count = this.boxes.length;
      this.say(!this.boxed ? this.texts.not_boxed : count ? this.texts.boxes.replace("{count}", count) : this.texts.background);
    }

    say(text, wrong = false) {
      this.state.textContent = text;
      this.state.classList.toggle("wrong", wrong);
    }
  }

  function moved(box, dx, dy) {
    return { ...box, x: clamp(box.x + dx, 0, 1 - box.width), y: clamp(box.y + dy, 0, 1 - box.height) };
  }

  function resized(box, side, to) {
    let [left, top, right, bottom] = [box.x, box.y, box.x + box.width, box.y + box.height];
    if (side.includes("w")) left = to.x;
    if (side.includes("e")) right = to.x;
    if (side.includes("n")) top = to.y;
    if (side.includes("s")) bottom = to.y;
    return { ...box, x: Math.min(left, right), y: Math.min(top, bottom), width: Math.abs(right - left), height: Math.abs(bottom - top) };
  }

  const begin = () => document.querySelectorAll("[data-box-editor]:not([data-begun])").forEach((root) => {
    root.dataset.begun = "";
    new Editor(root);
  });
  new MutationObserver(begin).observe(document.documentElement, { childList: true, subtree: true }); // Vue draws the page late
  begin();
})();
