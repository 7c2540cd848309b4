"use strict";
/* The list of jobs: selection, filters, what is new since the last look, and new jobs. */
(() => {
  const { prefix } = Trainyard;
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
  const put = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };
  const table = $("table.jobs"), since = $("#since");
  const address = new URLSearchParams(location.search);

  /** Return the address of this list, with more parameters. */
  function withParameters(more) {
    const changed = new URLSearchParams(address);
    for (const [name, value] of Object.entries(more)) changed.set(name, value);
    return `${prefix}/jobs?${changed}`;
  }

  /* Selection */
  const FEWEST_COMPARED = 2, MOST_COMPARED = 20;
  let lastBox = null;

  function countSelected() {
    const { length } = $$(".sel:checked"), compare = $("#compare");
    put($("#picked"), `${length} selected`);
    if (compare) compare.disabled = length < FEWEST_COMPARED || length > MOST_COMPARED;
  }

  function selectRange(box) {
    const boxes = $$(".sel"), ends = [boxes.indexOf(lastBox), boxes.indexOf(box)];
    const first = Math.min(...ends), last = Math.max(...ends);
    if (first >= 0) for (const each of boxes.slice(first, last + 1)) each.checked = box.checked;
  }

  document.addEventListener("click", ({ target, shiftKey }) => {
    if (!target.matches(".sel")) return;
    if (shiftKey) selectRange(target);
    lastBox = target;
    countSelected();
  });
  $("#clear")?.addEventListener("click", () => {
    for (const box of $$(".sel:checked")) box.checked = false;
    countSelected();
  });
  addEventListener("pageshow", countSelected); // browsers keep ticks when one comes back

  /* Forms: addresses have no empty parameters, and compared jobs stand in one */
  document.addEventListener("formdata", ({ target, formData }) => {
    const isComparing = comparing && target.id === "list";
    if (isComparing) {
      const jobs = formData.getAll("jobs").join(",");
      for (const name of [...formData.keys()]) formData.delete(name);
      formData.set("jobs", jobs);
    } else if (target.matches(".filters")) {
      for (const [name, value] of [...formData]) if (!value) formData.delete(name);
    }
  });
  let comparing = false;
  document.addEventListener("submit", ({ submitter }) => (comparing = submitter?.id === "compare"));

  /* A choice by pointer counts at once. By keyboard, each arrow key is a change: Enter ends them. */
  const filters = $(".filters");
  let isPointed = false;
  filters?.addEventListener("pointerdown", () => (isPointed = true));
  filters?.addEventListener("keydown", ({ key, target }) => {
    isPointed = false;
    if (key === "Enter" && target.matches("select")) filters.requestSubmit();
  });
  filters?.addEventListener("change", ({ target }) => {
    if (isPointed && target.matches("select")) filters.requestSubmit();
  });

  /* Since you last looked */
  const LOOKED = `trainyard.looked ${prefix} ${document.documentElement.dataset.user}`;
  const ENDED = { succeeded: "succeeded", failed: "failed", cancelled: "cancelled" };
  const noteLook = () => since && localStorage.setItem(LOOKED, new Date(Trainyard.now()).toISOString());

  async function showSince() {
    const looked = localStorage.getItem(LOOKED);
    if (!since || document.hidden || !looked) return;
    const query = new URLSearchParams({ ended_after: looked, counts: "true", limit: "1" });
    const answer = await fetch(`${prefix}/v1/jobs?${query}`, { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const { counts } = await answer.json();
    const links = Object.keys(ENDED).filter((state) => counts[state]).map((state) => {
      const link = document.createElement("a");
      link.href = `${prefix}/jobs?${new URLSearchParams({ state, ended_after: looked })}`;
      link.textContent = `${counts[state]} ${ENDED[state]}`;
      return link;
    });
    if (!links.length) return;
    const parts = links.flatMap((link, index) => (index ? [", ", link] : [link]));
    const passed = document.createElement("span");
    passed.append(`Since you last looked, ${Trainyard.age(new Date(looked))}: `, ...parts, ". ");
    passed.id = "ended";
    $("#ended")?.remove();
    since.append(passed);
  }

  showSince().catch(() => {}); // the line is missing then
  document.addEventListener("visibilitychange", () => (document.hidden ? noteLook() : showSince().catch(() => {})));
  addEventListener("pagehide", noteLook);

  /* Numbers of jobs by state, above the list */
  const COUNT_MS = 1000;
  let counting = 0;

  async function showCounts() {
    counting = 0;
    if (document.hidden) return;
    const page = await Trainyard.fragment(withParameters({ part: "states" }));
    const links = $$("#states a"), fresh = $$("#states a", page);
    links.forEach((link, index) => put($("b", link), $("b", fresh[index]).textContent));
  }
  const countLater = () => (counting ||= setTimeout(() => showCounts().catch(() => {}), COUNT_MS));

  /* New jobs: in the list where nobody is busy with it, and otherwise as a line above it */
  const COLLECT_MS = 250;
  const unknown = new Set(), waiting = new Set();
  let collecting = 0;

  function isBusy() {
    const isRead = table.matches(":hover") || table.contains(document.activeElement) || scrollY > 0;
    return isRead || $(".sel:checked") !== null;
  }

  async function showNew() {
    collecting = 0;
    if (document.hidden || !unknown.size) return;
    const ids = [...unknown];
    unknown.clear();
    const page = await Trainyard.fragment(withParameters({ rows: ids.join(",") }));
    const rows = $$("tr[id]", page).filter((row) => !document.getElementById(row.id));
    const first = $("#active tr[id]");
    if (first && !isBusy()) {
      first.before(...rows);
      Trainyard.showTimes();
    } else for (const row of rows) waiting.add(row.id);
    if (waiting.size) announceNew();
  }

  function announceNew() {
    const line = $("#new-jobs") ?? document.createElement("a");
    line.id = "new-jobs";
    line.href = location.href;
    put(line, waiting.size === 1 ? "1 new job" : `${waiting.size} new jobs`);
    if (!line.isConnected) $(".since").prepend(line, " ");
  }

  const isFirstPage = !address.has("cursor") && $(".since") !== null;
  document.addEventListener("trainyard:event", ({ detail: { job, type } }) => {
    if (type.startsWith("job.")) countLater();
    if (type !== "job.submitted" || !isFirstPage || document.getElementById(job)) return;
    unknown.add(job);
    collecting ||= setTimeout(() => showNew().catch(() => {}), COLLECT_MS);
  });
  document.addEventListener("trainyard:gap", countLater);
  document.addEventListener("trainyard:dataset", ({ detail: { state } }) => {
    if (state === "ready" && $("#first-steps")) location.reload(); // the next step is offered
  });
  document.addEventListener("visibilitychange", () => {
    countLater();
    if (unknown.size) collecting ||= setTimeout(() => showNew().catch(() => {}), COLLECT_MS);
  });
})();
