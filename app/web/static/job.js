"use strict";
/* The pages of a job: times of day, dialogs that ask first, and the table of classes by epoch. */
(() => {
  const $ = (selector, root = document) => root.querySelector(selector);
  const put = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };

  /* The server writes the time of day at which the job ends in UTC; here it becomes local. */
  const localize = () => document.querySelectorAll("time[data-clock]").forEach((time) => put(time, new Date(time.dateTime).toLocaleTimeString("en-GB")));
  localize();
  document.addEventListener("trainyard:morphed", localize);

  /* Each epoch can change the facts of the header: the best value, the last one, the seconds of an epoch. */
  const head = $(".jobhead");
  let timer = 0;
  document.addEventListener("trainyard:event", ({ detail }) => {
    if (detail.type === "epoch.finished" && detail.job === head.id) timer ||= setTimeout(showFacts, 1000);
  });
  async function showFacts() {
    timer = 0;
    const page = await Trainyard.fragment(location.href).catch(() => null), facts = page && $(".jobhead .facts", page);
    if (facts) htmx.swap({ text: facts.outerHTML, target: $(".jobhead .facts"), swap: "outerMorph", sourceElement: document.body });
    Trainyard.showTimes();
  }

  $(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  document.querySelectorAll(".log.short").forEach((log) => { log.scrollTop = log.scrollHeight; });

  /* A link to a page that asks first opens its dialog instead. */
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog]"), dialog = link && $(link.dataset.dialog);
    if (dialog) { event.preventDefault(); link.closest("details")?.removeAttribute("open"); dialog.showModal(); }
    if (event.target.closest("a[data-close]")) event.preventDefault();
  });

  /* Classes: the slider shows every epoch without asking the server again. */
  const table = $("#classes"), slider = $("#epoch");
  if (!table || !slider) return;
  const best = +table.dataset.best, part = table.dataset.part ? table.dataset.part + "." : "";
  let asked = null;
  function columns() {
    asked ??= fetch(table.dataset.href).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);
    return asked;
  }
  const written = (value) => (value == null ? "–" : value > 0 && value < .0005 ? "<0.001" : value.toFixed(3));
  async function show(epoch) {
    put($("#epoch-out"), `${epoch}${epoch === best ? " · best" : ""}`);
    const found = await columns();
    if (epoch !== +slider.value) return;
    if (!found) return void slider.form.requestSubmit();
    const at = found.epochs.indexOf(epoch);
    put($(".epoch", table), `${epoch}`);
    [...table.tBodies[0].rows].forEach((row, number) => {
      for (const cell of row.querySelectorAll("[data-score]")) {
        const value = found.series[part + cell.dataset.score]?.[number]?.[at];
        put(cell, written(value));
        $("rect", cell.nextElementSibling)?.setAttribute("width", value == null ? 0 : (value * 100).toFixed(1));
      }
      $("[data-score=precision]", row)?.classList.toggle("faint", found.series[part + "recall"]?.[number]?.[at] === 0);
    });
  }
  function keep(epoch) {
    const address = new URLSearchParams(location.search);
    epoch === best ? address.delete("epoch") : address.set("epoch", epoch);
    history.replaceState(null, "", location.pathname + (address.size ? "?" + address : "") + location.hash);
  }
  slider.addEventListener("input", () => show(+slider.value));
  slider.addEventListener("change", () => keep(+slider.value));
  $("#epoch-best").addEventListener("click", () => { slider.value = best; show(best); keep(best); });
  document.addEventListener("trainyard:epoch", ({ detail }) => { slider.max = Math.max(+slider.max, detail.epoch); asked = null; });
})();
