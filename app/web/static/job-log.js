"use strict";
/* The log of a job: lines are hidden while one types what to find, and new ones are put behind. */
(() => {
  const MOST_LINES = 4000;
  const log = document.getElementById("lines"), follow = document.getElementById("follow-log");
  const find = document.getElementById("find-lines"), count = document.getElementById("found-lines");

  function filter() {
    const text = find.value.toLowerCase();
    let hits = 0;
    for (const line of log.children) { const hit = !text || line.textContent.toLowerCase().includes(text); line.hidden = !hit; hits += hit; }
    count.textContent = text ? `${hits} of the lines below` : "";
  }
  find.addEventListener("input", filter);
  document.querySelector(".tools select").addEventListener("change", (event) => { find.value = ""; event.target.form.requestSubmit(); });

  /* Reading begins at the end, or at the line that the address names. */
  const atEnd = () => log.scrollTop + log.clientHeight > log.scrollHeight - 40;
  const toEnd = () => { log.scrollTop = log.scrollHeight; };
  const named = location.hash && document.getElementById(location.hash.slice(1));
  if (named && log.contains(named)) { named.scrollIntoView({ block: "center" }); if (follow) follow.checked = false; }
  else if (!find.value) toEnd();
  if (!follow) return;
  log.addEventListener("scroll", () => { follow.checked = atEnd(); });
  follow.addEventListener("change", () => follow.checked && toEnd());

  /* A message of the stream tells how long the log is; what is new comes as lines of this page. */
  let size = -1, asking = false;
  document.addEventListener("trainyard:tick", ({ detail }) => {
    const bytes = detail?.jobs?.[log.dataset.job]?.log_bytes;
    if (bytes == null || bytes === size || asking) return;
    asking = true;
    read().then(() => { size = bytes; }, () => {}).finally(() => { asking = false; });
  });
  /** The last line may have been incomplete, so it is read again. */
  async function read() {
    const last = log.lastElementChild, from = last ? last.id.slice(1) : "1";
    const answer = await fetch(`${log.dataset.href}?attempt=${log.dataset.attempt}&after=${from}`, { headers: { "HX-Request": "true" } });
    if (!answer.ok) throw new Error(answer.statusText);
    const lines = new DOMParser().parseFromString(await answer.text(), "text/html").body.children;
    if (!lines.length) return;
    if (last?.textContent === lines[0].textContent) lines[0].remove(); else last?.remove();
    const stays = follow.checked;
    log.append(...lines);
    while (log.children.length > MOST_LINES) log.firstElementChild.remove();
    if (find.value) filter();
    if (stays) toEnd();
  }
})();
