"use strict";
/* The form of a new job: the plan follows each change, and arguments can be found by name. */
(() => {
  const form = document.getElementById("new-job");
  let plan = document.getElementById("plan");
  const PAUSE = 300; // milliseconds without a change, after which the plan is asked for
  let timer = 0, asked = 0;

  /** Send the form for an action, as its button would, and return the answer's HTML. */
  async function send(action) {
    const fields = new URLSearchParams(new FormData(form));
    fields.set("do", action);
    const answer = await fetch(form.action, { method: "POST", body: fields, headers: { "HX-Request": "true" } });
    return answer.status < 500 && answer.status !== 401 ? answer.text() : null;
  }

  /** Ask for the plan; the old one stays until the new one is there, and a late answer is dropped. */
  async function refresh() {
    const mine = ++asked;
    try {
      const html = await send("plan");
      if (html !== null && mine === asked) { plan.innerHTML = html; markErrors(); }
    } catch { /* the server is away: the lamp says so, and the next change asks again */ }
  }

  /** Mark the fields that the plan names as wrong; the messages are in the list above the plan. */
  function markErrors() {
    const wrong = new Set([...plan.querySelectorAll('.note.bad a[href^="#f-"]')].map((a) => a.hash.slice(1)));
    for (const field of form.elements) if (field.id?.startsWith("f-")) {
      if (wrong.has(field.id)) field.setAttribute("aria-invalid", "true");
      else field.removeAttribute("aria-invalid");
    }
  }

  form.addEventListener("input", (event) => {
    if (event.target.id === "f-dataset") return;
    if (event.target.id === "f-find") { find(event.target.value.trim().toLowerCase()); return; }
    event.target.closest("[data-argument]")?.classList.toggle("changed", event.target.value !== "");
    clearTimeout(timer);
    timer = setTimeout(refresh, PAUSE);
  });

  /** Another dataset may have another task, and so other arguments, models and metrics. */
  async function renew() {
    clearTimeout(timer);
    const html = await send("form").catch(() => null);
    const fresh = html && new DOMParser().parseFromString(html, "text/html").querySelector("#new-job .side");
    if (!fresh) return;
    form.querySelector(".side").replaceWith(fresh);
    plan = document.getElementById("plan");
    prepare();
    document.getElementById("f-dataset").focus();
  }
  form.addEventListener("change", (event) => { if (event.target.id === "f-dataset") renew(); });

  /** Show only arguments whose name or help has the text, with their groups open. */
  function find(text) {
    for (const group of form.querySelectorAll("details.group")) {
      let hits = 0;
      for (const field of group.querySelectorAll("[data-argument]")) {
        field.hidden = Boolean(text) && !field.textContent.toLowerCase().includes(text);
        hits += !field.hidden;
      }
      group.hidden = hits === 0;
      if (text) group.open = hits > 0;
    }
  }

  function prepare() {
    const add = document.getElementById("add-rate");
    add.hidden = false;
    document.getElementById("show-plan").hidden = true;
    add.onclick = () => {
      const rows = document.querySelectorAll("#rates .rate");
      const row = rows[rows.length - 1].cloneNode(true);
      for (const input of row.querySelectorAll("input")) {
        const old = input.id;
        input.id = old.replace(/\d+$/, String(rows.length));
        input.value = "";
        row.querySelector(`label[for="${CSS.escape(old)}"]`).htmlFor = input.id;
      }
      document.getElementById("rates").append(row);
      row.querySelector("input").focus();
    };
  }
  prepare();
})();
