"use strict";
/* Pages of datasets: filters, drawn samples, and the progress of a verification. */
(() => {
  const $ = (selector, within = document) => within.querySelector(selector);
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
  const put = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };

  /* A filter applies as soon as it is chosen; without a script, its form has a button. */
  for (const form of $$("form.filters")) form.addEventListener("change", ({ target }) => { if (target.matches("select")) form.requestSubmit(); });

  /* Labels over the samples, all of them or those of one class */
  const toggles = $(".toggles");
  function showLabels() {
    const shown = new Map($$("input", toggles).map((box) => [box.value, box.checked]));
    for (const path of $$(".drawn path")) path.toggleAttribute("hidden", !shown.get("all") || shown.get(path.dataset.group) === false);
  }
  toggles?.addEventListener("change", showLabels);
  if (toggles) showLabels(); // a browser may keep ticks over a reload

  /* A sample in large; the arrow keys go on to the next */
  const dialog = $("#sample"), samples = $$("[data-sample]");
  let current = 0;
  function showSample(index) {
    current = (index + samples.length) % samples.length;
    const link = samples[current];
    $(".slot", dialog).replaceChildren($("svg", link).cloneNode(true));
    put($("h2", dialog), link.dataset.sample);
    put($(".words", dialog), $(".words", link.parentElement).textContent);
    if (!dialog.open) dialog.showModal();
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-sample]"), step = event.target.closest("#sample [data-step]");
    if (link && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      showSample(samples.indexOf(link));
    } else if (step) showSample(current + Number(step.dataset.step));
  });
  dialog?.addEventListener("keydown", ({ key }) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (step) showSample(current + step);
  });
  dialog?.addEventListener("close", () => samples[current]?.focus());

  /* Verification: the step and its share in place; the page is loaded again when it has ended. */
  const note = $("#verifying"), table = $("#datasets");
  const words = JSON.parse((note ?? table)?.dataset.steps ?? "{}");

  function showStep(element, { step, done }) {
    if (step === undefined || step === null) return;
    put($(".step", element), words[step] ?? step);
    put($(".share", element), `${Math.round(100 * done)} %`);
    const bar = $("progress", element);
    if (bar) bar.value = done;
  }

  async function showRow(id) {
    const rows = await Trainyard.fragment(location.href);
    const fresh = rows.getElementById(id), row = document.getElementById(id);
    if (row && fresh) htmx.swap({ text: fresh.outerHTML, target: row, swap: "outerMorph", sourceElement: document.body });
  }

  document.addEventListener("trainyard:dataset", ({ detail }) => {
    if (note && detail.version === note.dataset.version) {
      if (detail.state === "validating") showStep(note, detail);
      else location.reload();
    }
    const row = table && document.getElementById(detail.id);
    if (!row) return;
    if (detail.state === "validating" && detail.version === row.dataset.version) showStep(row, detail);
    else showRow(detail.id).catch(() => {}); // the old row stays
  });
  document.addEventListener("trainyard:gap", () => { if (note) location.reload(); });
})();
