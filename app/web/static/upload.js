"use strict";
/* Uploads a file by tus 1.0 (https://tus.io) in parts, and goes on after a broken connection or a
   reload. What is needed for that is kept in localStorage: the id of the upload, the name, size and
   time of the file, and the fields of the form. When all has arrived, the form is sent as it is. */
(() => {
  const form = document.getElementById("upload"), input = document.getElementById("u-file");
  if (!form || !input) return; // the file has arrived, or nothing may be uploaded
  const prefix = document.documentElement.dataset.prefix ?? "";
  const $ = (id) => document.getElementById(id);
  const put = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };
  const FIELDS = ["name", "project", "task", "policy"];
  const PART_SECONDS = 4, SMALLEST_PART = 256 * 1024, LARGEST_PART = 16 * 1024 * 1024;
  const RATE_SECONDS = 10, LONGEST_WAIT = 30, ASK_MS = 300;
  const KEY = `trainyard uploads ${prefix}`;

  const going = $("going"), bar = going.querySelector("progress"), title = document.title;
  let upload = null; // what is sent now: { file, id, offset, paused, request, wake }
  let wanted = null; // the unfinished upload whose file is asked for

  /* Words */
  function size(bytes) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let amount = bytes, unit = 0;
    while (amount >= 1000 && unit < units.length - 1) { amount /= 1000; unit += 1; }
    return unit ? `${amount.toFixed(1)} ${units[unit]}` : `${amount} B`;
  }

  function showState(words) {
    put($("going-state"), words);
    put($("pause"), upload?.paused ? "Go on" : "Pause");
  }

  function showNumbers(sent) {
    const { file, marks } = upload, now = performance.now() / 1000;
    marks.push([now, sent]);
    while (marks.length > 2 && now - marks[0][0] > RATE_SECONDS) marks.shift();
    const [since, from] = marks[0], rate = now > since ? (sent - from) / (now - since) : 0;
    const share = Math.floor((100 * sent) / file.size);
    const rest = rate > 0 ? `, ${size(rate)}/s, ${Trainyard.duration((file.size - sent) / rate)} left` : "";
    put($("going-numbers"), `${share} %, ${size(sent)} of ${size(file.size)}${rest}`);
    document.title = `${share} % · ${title}`;
    bar.value = sent / file.size;
  }

  function forgetRate(mine) {
    mine.marks = [];
    showNumbers(mine.offset);
  }

  function showProblem(text, signIn = false) {
    const note = $("going-problem");
    note.replaceChildren(text);
    if (signIn) {
      const link = document.createElement("a");
      link.href = `${prefix}/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`;
      link.textContent = "Sign in";
      note.append(" ", link, ", and choose the same file again.");
    }
    note.hidden = !text;
  }

  function showHint(field, text, isError = false) {
    const hint = $(`u-${field}-h`), element = $(`u-${field}`);
    put(hint, text);
    hint.className = isError ? "err" : "hint";
    if (isError) element.setAttribute("aria-invalid", "true");
    else element.removeAttribute("aria-invalid");
  }

  /* What is kept over a reload */
  const kept = () => { try { return JSON.parse(localStorage.getItem(KEY)) ?? []; } catch { return []; } };
  function keep(entries) {
    try { localStorage.setItem(KEY, JSON.stringify(entries.slice(-20))); } catch { /* full or forbidden: a reload then asks by "Go on" */ }
  }
  const forget = (id) => keep(kept().filter((entry) => entry.id !== id));
  const values = () => Object.fromEntries(FIELDS.map((name) => [name, form.elements[name].value]));
  const fits = (entry, file) => entry.name === file.name && entry.size === file.size && entry.modified === file.lastModified;
  function remember({ id, file }) {
    const entry = { id, name: file.name, size: file.size, modified: file.lastModified, fields: values() };
    keep([...kept().filter((other) => other.id !== id), entry]);
  }

  /* Requests. An XMLHttpRequest, because fetch does not say how much of a body was sent. */
  function ask(method, path, { headers = {}, body = null, onSent = () => {} } = {}) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      upload.request = request;
      request.open(method, prefix + path);
      for (const [name, value] of Object.entries({ Accept: "application/json", "Tus-Resumable": "1.0.0", ...headers })) request.setRequestHeader(name, value);
      request.upload.onprogress = ({ loaded }) => onSent(loaded);
      request.onloadend = () => resolve({ status: request.status, header: (name) => request.getResponseHeader(name), body: document_of(request) });
      request.send(body);
    });
  }

  function document_of({ responseText }) {
    try { return JSON.parse(responseText); } catch { return {}; }
  }

  class Refused extends Error {
    constructor({ status, body }) {
      super(body.detail || `The server answered ${status}.`);
      this.status = status;
      this.slug = (body.type ?? "").split(":").pop();
    }
  }
  /** Whether the same request can succeed later: no answer, a broken part, or a server in trouble. */
  const canPass = ({ status, slug }) =>
    status !== 507 && slug !== "too-many-uploads" && slug !== "quota-exceeded" &&
    (status === 0 || status >= 500 || [408, 409, 425, 429, 460].includes(status));
  const isGone = ({ status }) => status === 404 || status === 410;

  async function checked(answer) {
    const given = await answer;
    if (upload.paused) throw new Paused();
    if (given.status < 200 || given.status >= 300) throw new Refused(given);
    return given;
  }
  class Paused extends Error {}

  const base64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));
  const text64 = (text) => base64(new TextEncoder().encode(text));

  /* The upload */
  async function create() {
    const { file } = upload;
    const metadata = `filename ${text64(file.name.slice(-200))},project ${text64(form.elements.project.value)}`;
    const made = await checked(ask("POST", "/v1/uploads", { headers: { "Upload-Length": String(file.size), "Upload-Metadata": metadata } }));
    upload.id = made.body.id;
    remember(upload);
  }

  async function sendPart(from) {
    const part = upload.file.slice(from, from + upload.part);
    const headers = { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(from) };
    let body = part;
    if (crypto.subtle && part.size) { // pages without TLS have none
      body = await part.arrayBuffer();
      headers["Upload-Checksum"] = `sha256 ${base64(await crypto.subtle.digest("SHA-256", body))}`;
    }
    const started = performance.now();
    if (from + part.size === upload.file.size) showState("Uploading the last part, which is then stored");
    const sent = await checked(ask("PATCH", `/v1/uploads/${upload.id}`, { headers, body, onSent: (loaded) => showNumbers(from + loaded) }));
    const rate = part.size / Math.max(0.05, (performance.now() - started) / 1000);
    upload.part = Math.round(Math.min(LARGEST_PART, Math.max(SMALLEST_PART, rate * PART_SECONDS)));
    return Number(sent.header("Upload-Offset"));
  }

  async function sendAll() {
    if (!upload.id) await create();
    let { body } = await checked(ask("GET", `/v1/uploads/${upload.id}`));
    upload.offset = body.offset_bytes;
    while (body.state !== "finished") {
      showState("Uploading");
      showNumbers(upload.offset);
      upload.offset = await sendPart(upload.offset);
      upload.failures = 0;
      if (upload.offset === upload.file.size) ({ body } = await checked(ask("GET", `/v1/uploads/${upload.id}`)));
    }
    showNumbers(upload.file.size);
  }

  /** Wait longer after each failure, less if the browser is online again or the user goes on. */
  async function wait(mine, reason) {
    let left = Math.min(LONGEST_WAIT, 2 ** mine.failures);
    mine.failures += 1;
    forgetRate(mine);
    for (; left > 0 && upload === mine && !mine.paused; left -= 1) {
      showState(`${reason} It is tried again in ${left} s.`);
      if (await new Promise((resolve) => { mine.wake = () => resolve(true); setTimeout(resolve, 1000); })) break;
    }
  }

  async function untilResumed(mine) {
    showState("Paused");
    forgetRate(mine);
    while (mine.paused) await new Promise((resolve) => { mine.wake = resolve; });
    mine.marks = [];
  }

  async function run() {
    const mine = upload;
    while (upload === mine) {
      try {
        await sendAll();
        return finish();
      } catch (error) {
        if (upload !== mine) return;
        if (upload.paused) await untilResumed(mine);
        else if (!(error instanceof Refused)) return stop("The file cannot be read. It may have been moved or changed; choose it again.");
        else if (!canPass(error)) return stop(refusal(error), error.status === 401);
        else await wait(mine, error.status ? error.message : "The server does not answer.");
      }
    }
  }

  function refusal(error) {
    if (error.status === 401) return "You are signed out. What has arrived is kept.";
    if (!isGone(error) || !upload.id) return error.message;
    forget(upload.id);
    return "The server no longer has this upload. Press Upload to begin again.";
  }

  function start(file, id) {
    if (upload) return;
    if (!file.size) return showHint("file", "This file is empty.", true);
    if (file.size > Number(form.dataset.largest)) return showHint("file", `This file has ${size(file.size)}; at most ${size(Number(form.dataset.largest))} are taken.`, true);
    showProblem("");
    upload = { file, id, offset: 0, part: 4 * SMALLEST_PART, marks: [], failures: 0, paused: false, wake: () => {} };
    document.querySelector(`[data-upload="${CSS.escape(id ?? "")}"]`)?.remove();
    put($("going-t"), file.name);
    going.hidden = false;
    form.querySelector("button.primary").disabled = input.disabled = true;
    showState("Uploading");
    run();
  }

  function stop(problem, signIn = false) {
    showProblem(problem, signIn);
    upload = null;
    going.hidden = true;
    document.title = title;
    form.querySelector("button.primary").disabled = input.disabled = false;
  }

  function finish() {
    if (!form.reportValidity()) { // the name was emptied meanwhile
      showState("All has arrived. Give it a name, and press Upload.");
      form.querySelector("button.primary").disabled = false;
      return;
    }
    forget(upload.id);
    showState("All has arrived");
    form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "upload", value: upload.id }));
    form.submit();
  }

  /* Buttons */
  $("pause").addEventListener("click", () => {
    upload.paused = !upload.paused;
    if (upload.paused) upload.request?.abort();
    showState(upload.paused ? "Paused" : "Uploading");
    upload.wake();
  });

  $("discard").addEventListener("click", async () => {
    const { id, request } = upload;
    upload.paused = true;
    request?.abort();
    if (id) {
      forget(id);
      await ask("DELETE", `/v1/uploads/${id}`);
    }
    stop("");
  });
  addEventListener("online", () => upload?.wake());

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (upload) return finish();
    const file = input.files[0];
    if (!file) return showHint("file", "Choose a file first.", true);
    start(file, kept().find((entry) => fits(entry, file))?.id);
  });

  /* A chosen file goes on where it stopped, if it is the one of an unfinished upload. */
  function choose(file) {
    showHint("file", `${size(file.size)}`);
    if (wanted) {
      const row = wanted;
      wanted = null;
      if (row.dataset.name !== file.name || Number(row.dataset.size) !== file.size) {
        return showHint("file", `This is another file: ${row.dataset.name} of ${size(Number(row.dataset.size))} is needed to go on.`, true);
      }
      form.elements.project.value = row.dataset.project;
      suggestName(file);
      return start(file, row.dataset.upload);
    }
    const entry = kept().find((each) => fits(each, file) && document.querySelector(`[data-upload="${CSS.escape(each.id)}"]`));
    if (entry) {
      restore(entry);
      return start(file, entry.id);
    }
    suggestName(file);
  }

  function suggestName(file) {
    const { name } = form.elements;
    if (name.value) return;
    name.value = file.name.replace(/\.(zip|tar|t?gz|t?bz2|t?xz|tar\.\w+)$/i, "").replace(/\.tar$/i, "")
      .replace(/[^\p{L}\p{N}_ .,()+@-]+/gu, "-").replace(/^[^\p{L}\p{N}_]+/u, "");
    askName();
  }

  function restore({ fields }) {
    for (const name of FIELDS) if (fields[name] !== undefined) form.elements[name].value = fields[name];
    askName();
  }

  input.addEventListener("change", () => input.files[0] && choose(input.files[0]));
  input.addEventListener("cancel", () => (wanted = null));
  document.addEventListener("click", ({ target }) => {
    if (!target.matches("[data-go-on]") || upload) return;
    wanted = target.closest("tr");
    input.click();
  });

  addEventListener("dragover", (event) => { if (event.dataTransfer?.types.includes("Files")) event.preventDefault(); });
  addEventListener("drop", (event) => {
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    if (upload) return;
    input.files = event.dataTransfer.files;
    choose(file);
  });

  /* Whether the name exists */
  let timer = 0;
  function askName() {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      const name = form.elements.name.value.trim(), project = form.elements.project.value;
      const nothing = "The name of a dataset that exists makes its next version.";
      if (!name) return showHint("name", nothing);
      const query = new URLSearchParams({ name, project, limit: 1 });
      const answer = await fetch(`${prefix}/v1/datasets?${query}`, { headers: { Accept: "application/json" } }).catch(() => null);
      if (!answer || form.elements.name.value.trim() !== name) return;
      const body = await answer.json();
      if (answer.status === 422) return showHint("name", "A name begins with a letter or a digit, and has letters, digits, spaces and . , ( ) + @ - _ only.", true);
      const found = body.data?.[0];
      showHint("name", found ? `This becomes version ${found.number + 1} of ${found.name}.` : `This makes a new dataset.`);
    }, ASK_MS);
  }
  form.elements.name.addEventListener("input", askName);
  form.elements.project.addEventListener("change", askName);
  form.addEventListener("change", () => upload?.id && remember(upload));

  /* After a reload: ask for the file of the upload that was sent last. */
  const last = kept().findLast((entry) => document.querySelector(`[data-upload="${CSS.escape(entry.id)}"]`));
  if (last && !form.elements.name.value) {
    restore(last);
    showHint("file", `Choose ${last.name} again: the upload goes on where it stopped.`);
  }
})();
