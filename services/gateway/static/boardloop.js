// What must happen in the browser itself: cookies, the forms of the door, uploads, the clipboard.
(() => {
  const YEAR = 31536000;
  const API = "/api/v1";
  const cookie = (name) => (document.cookie.match(new RegExp("(?:^|; )" + name + "=([^;]*)")) || [])[1];
  const remember = (name, value) => {
    document.cookie = `${name}=${value}; path=/; max-age=${YEAR}; samesite=lax`;
    return cookie(name); // reading waits until it is written: Chromium writes aside, and a reload came before it
  };
  const dark = () => {
    const chosen = cookie("boardloop_theme");
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const paint = () => {
    document.documentElement.dataset.theme = dark() ? "dark" : "light";
    document.documentElement.lang = cookie("boardloop_language") || document.documentElement.lang || "en";
    if (window.Quasar) window.Quasar.Dark.set(dark());
  };
  paint();
  addEventListener("load", () => {
    paint();
    const gone = document.querySelector("meta[name=boardloop-gone]");
    document.querySelectorAll("#popup span").forEach((span, place) => (span.textContent = place || !gone ? "" : gone.content));
  });

  async function post(path, body) {
    const response = await fetch(API + path, {
      method: "POST", headers: { "Content-Type": "application/json", "X-Boardloop": "1" }, body: JSON.stringify(body),
    });
    const answer = response.status === 204 ? {} : await response.json();
    if (!response.ok) throw Object.assign(new Error(answer.error.message), { reason: answer.error.reason });
    return answer;
  }

  const doors = {
    async login(form) {
      const answer = await post("/account/login", { name: form.name.value, password: form.password.value });
      const wanted = new URL(new URLSearchParams(location.search).get("next") || "/", location.origin); // as browsers read it
      location.assign(answer.must_change_password ? "/password" : wanted.origin === location.origin ? wanted.href : "/");
    },
    async password(form, texts) {
      if (form.new.value !== form.repeat.value) throw Object.assign(new Error(texts.MISMATCH), { reason: "MISMATCH" });
      await post("/account/password", { current_password: form.current.value, new_password: form.new.value });
      if (form.dataset.then) return location.assign(form.dataset.then);
      form.querySelector("[role=status]").textContent = texts.saved;
      form.reset();
    },
  };

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const door = doors[form.dataset.door];
    if (!door) return;
    event.preventDefault();
    const texts = JSON.parse(form.dataset.texts);
    const say = form.querySelector("[role=alert]");
    const button = form.querySelector("button");
    say.textContent = "";
    button.disabled = true;
    try {
      await door(form, texts);
    } catch (error) {
      say.textContent = texts[error.reason] || (error.reason ? error.message : texts.OFFLINE);
    } finally {
      button.disabled = false;
    }
  });

  document.addEventListener("click", async (event) => {
    const tool = event.target.closest("[data-tool]");
    if (!tool) return;
    if (tool.dataset.tool === "theme") { remember("boardloop_theme", dark() ? "light" : "dark"); paint(); }
    if (tool.dataset.tool === "language") { remember("boardloop_language", tool.dataset.value); location.reload(); }
    if (tool.dataset.tool === "logout") {
      event.preventDefault();
      await post("/account/logout", {}).catch(() => {});
      location.assign("/login");
    }
    if (tool.dataset.tool === "copy") copy(tool.dataset.value);
  });

  async function copy(text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const box = Object.assign(document.createElement("textarea"), { value: text }); // plain http has no clipboard API
    document.body.append(box);
    box.select();
    document.execCommand("copy");
    box.remove();
  }

  // A picture asked for while its service was away comes as soon as it is back.
  const AGAIN_MS = 3000;
  document.addEventListener("error", (event) => {
    const picture = event.target;
    if (!(picture instanceof HTMLImageElement) || !picture.src.includes(API)) return;
    const address = picture.src;
    setTimeout(() => { if (picture.isConnected && picture.src === address) picture.src = address; }, AGAIN_MS);
  }, true);

  // Uploads go file by file to the API; the page hears of each step by the event "upload-step" of its element.
  async function upload(all, zone) {
    const packed = (file) => /\.zip$/i.test(file.name) || file.type === "application/zip";
    for (const file of all.filter(packed)) await unpack(file, zone);
    const files = all.filter((file) => !packed(file));
    if (!files.length) return;
    const step = { done: 0, total: files.length, stored: 0, known: 0, error: "" };
    const tell = () => zone.dispatchEvent(new CustomEvent("upload-step", { detail: { ...step } }));
    tell();
    for (const file of files) {
      const body = new FormData();
      body.append("files", file);
      body.append("label", zone.dataset.label || "");
      try {
        const response = await fetch(`${API}/projects/${zone.dataset.project}/captures`, { method: "POST", headers: { "X-Boardloop": "1" }, body });
        const answer = await response.json();
        if (!response.ok) step.error = `${file.name}: ${answer.error.message} ${answer.error.fix}`;
        else if (answer[0].duplicate) step.known += 1;
        else step.stored += 1;
      } catch (error) {
        step.error = `${file.name}: ${error.message}`;
      }
      step.done += 1;
      tell();
    }
  }
  // A zip goes as it is; the page hears by "archive-step" that it began, and then the report or the error.
  async function unpack(file, zone) {
    const tell = (more) => zone.dispatchEvent(new CustomEvent("archive-step", { detail: { file: file.name, error: "", ...more } }));
    tell({});
    const body = new FormData();
    body.append("file", file);
    try {
      const response = await fetch(`${API}/projects/${zone.dataset.project}/archives`, { method: "POST", headers: { "X-Boardloop": "1" }, body });
      const answer = await response.json();
      tell(response.ok ? { report: answer } : { error: `${file.name}: ${answer.error.message} ${answer.error.fix}` });
    } catch (error) {
      tell({ error: `${file.name}: ${error.message}` });
    }
  }
  const zone = () => document.querySelector("[data-upload-zone]");
  document.addEventListener("change", (event) => {
    if (!event.target.matches("input[type=file][data-upload]")) return;
    upload([...event.target.files], zone());
    event.target.value = "";
  });
  let depth = 0;
  const drags = (event) => zone() && event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  document.addEventListener("dragenter", (event) => { if (drags(event)) { depth += 1; document.body.classList.add("dragging"); } });
  document.addEventListener("dragleave", (event) => { if (drags(event) && --depth <= 0) document.body.classList.remove("dragging"); });
  document.addEventListener("dragover", (event) => { if (drags(event)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    if (!drags(event)) return;
    event.preventDefault();
    depth = 0;
    document.body.classList.remove("dragging");
    upload([...event.dataTransfer.files], zone());
  });
})();
