"use strict";
/* What happens, in this page: numbers in place, and parts that have changed.

   Every message becomes an event of the document, so that any script of a page can listen:
   trainyard:state (a word), trainyard:tick ({jobs}), trainyard:event, trainyard:fleet,
   trainyard:dataset, and trainyard:gap, after which a script reads again what it shows.

   A tick writes into the element whose id is that of the job: progress, .arc, .ep ("12/36"),
   .epoch ("12"), .batch ("9/13"), .eta ("4 min left") and .ends-at (the time of day). An event
   makes a row (tr) or the header (.jobhead) of its job stale. Stale rows are fetched together, and
   morphed. */
(() => {
  const root = document.documentElement;
  const { prefix = "", user, after } = root.dataset;
  if (user === undefined) return; // nobody is signed in
  const script = document.currentScript.dataset.live;
  const COLLECT_MS = 250, RETRY_MS = 5_000;
  const SHOWN_IN_HEAD = /^job\.|^trainer\.(started|finished)$/; // types of events
  const WORDS = { connecting: "Connecting", live: "Live", reconnecting: "Reconnecting", polling: "Polling every 5 s", signed_out: "Signed out" };
  const $ = (selector, within = document) => within.querySelector(selector);
  const put = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };
  const announce = (kind, detail) => document.dispatchEvent(new CustomEvent(`trainyard:${kind}`, { detail }));

  const stale = new Set(); // ids of parts that have changed
  let timer = 0, isConnected = false;

  /* The lamp */
  function showState(state) {
    const lamp = $("#live");
    if (!lamp) return;
    put($(".word", lamp), WORDS[state]);
    lamp.className = `live live-${state}`;
    isConnected = state === "live" || state === "polling";
    if (state === "signed_out") offerSignIn();
    else $("#signed-out")?.remove();
    if (isConnected && stale.size) timer ||= setTimeout(refresh, COLLECT_MS);
  }

  function offerSignIn() {
    if ($("#signed-out")) return;
    const note = document.createElement("p"), link = document.createElement("a");
    note.id = "signed-out";
    note.className = "note warn";
    note.setAttribute("role", "alert");
    link.href = `${prefix}/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`;
    link.textContent = "Sign in again";
    note.append("You are signed out. What you typed here is kept until you leave this page. ", link);
    $("main").prepend(note);
  }

  /* Numbers in place */
  function showTick({ jobs }) {
    for (const [id, progress] of Object.entries(jobs)) {
      const element = document.getElementById(id);
      if (element) showProgress(element, progress);
    }
  }

  function showProgress(element, { epoch, epochs, batch, batches, done, eta_seconds: seconds }) {
    const bar = $("progress", element), arc = $(".arc", element);
    if (bar && bar.value !== done) bar.value = done;
    const dashes = `${Math.round(100 * done)} 100`;
    if (arc && arc.getAttribute("stroke-dasharray") !== dashes) arc.setAttribute("stroke-dasharray", dashes);
    if (epoch === null) return;
    put($(".ep", element), `${epoch}/${epochs}`);
    put($(".epoch", element), `${epoch}`);
    put($(".batch", element), `${batch}/${batches}`);
    if (seconds !== null) {
      put($(".eta", element), `${Trainyard.duration(seconds)} left`);
      put($(".ends-at", element), Trainyard.timeOfDay(new Date(Date.now() + 1000 * seconds)));
    }
    if (element.matches(".jobhead")) document.title = `${epoch}/${epochs} · ${$("h1", element)?.textContent ?? ""} · Trainyard`;
  }

  /* Parts that have changed */
  function markStale(id) {
    const element = document.getElementById(id);
    if (!element?.matches(".jobs tr, .jobhead")) return;
    stale.add(id);
    timer ||= setTimeout(refresh, COLLECT_MS);
  }

  async function refresh() {
    timer = 0;
    if (document.hidden) return; // until somebody looks
    const ids = [...stale];
    stale.clear();
    const isHead = (id) => document.getElementById(id)?.matches(".jobhead");
    const rows = ids.filter((id) => !isHead(id));
    try {
      if (rows.length) morph(await Trainyard.fragment(`${prefix}/jobs?rows=${rows.join(",")}`), rows);
      const heads = ids.filter(isHead);
      if (heads.length) morphPage(await Trainyard.fragment(location.href), heads);
    } catch {
      for (const id of ids) stale.add(id); // the old content stays
      if (isConnected) timer ||= setTimeout(refresh, RETRY_MS);
    }
  }

  function morphPage(page, heads) {
    morph(page, heads);
    document.title = page.title;
  }

  function morph(parts, ids) {
    for (const id of ids) {
      const part = parts.getElementById(id), element = document.getElementById(id);
      if (part && element) htmx.swap({ text: part.outerHTML, target: element, swap: "outerMorph", sourceElement: document.body });
    }
    announce("morphed", ids);
  }

  /* Events */
  function showEvent({ job, type, data }) {
    const isOnItsPage = $(".jobhead")?.id === job;
    if (isOnItsPage && type === "epoch.finished") window.Charts?.append("metrics", data.epoch, { ...data.metrics, ...data.lr, ...data.system });
    if (!isOnItsPage || SHOWN_IN_HEAD.test(type)) markStale(job);
  }

  document.addEventListener("trainyard:state", ({ detail }) => showState(detail));
  document.addEventListener("trainyard:tick", ({ detail }) => showTick(detail));
  document.addEventListener("trainyard:event", ({ detail }) => showEvent(detail));
  document.addEventListener("trainyard:gap", () => {
    for (const element of document.querySelectorAll(".jobs tr[id], .jobhead")) markStale(element.id);
  });
  document.addEventListener("visibilitychange", () => { if (stale.size && !document.hidden) timer ||= setTimeout(refresh, 0); });

  /* The connection */
  const name = `trainyard-live ${prefix} ${user}`;
  const { requestStart = 0 } = performance.getEntriesByType("navigation")[0] ?? {};
  const page = { since: Date.now() - performance.now() + requestStart, after };
  const hear = ({ kind, data }) => announce(kind, data);

  function shareWorker() {
    const worker = new SharedWorker(script, { name });
    worker.port.onmessage = ({ data }) => hear(data);
    worker.onerror = loadHere; // its script did not load
    worker.port.postMessage(page);
    addEventListener("pagehide", () => {
      worker.port.postMessage("leave");
      page.since = Date.now();
    });
    addEventListener("pageshow", ({ persisted }) => persisted && worker.port.postMessage(page));
    document.addEventListener("visibilitychange", () => document.hidden || worker.port.postMessage("look"));
  }

  function loadHere() {
    const element = document.createElement("script");
    element.src = script;
    element.onload = () => liveHere(name, prefix, page, hear);
    document.head.append(element);
  }

  showState("connecting");
  try {
    shareWorker();
  } catch {
    loadHere(); // there is no SharedWorker, or it is forbidden here
  }
})();
