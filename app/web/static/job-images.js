"use strict";
/* Images of a job: a click shows one large, with its boxes; the arrow keys show the others. */
(() => {
  const dialog = document.getElementById("large");
  const slot = dialog.querySelector(".slot"), title = dialog.querySelector("h2"), said = dialog.querySelector(".said");
  const links = [...document.querySelectorAll("a[data-large]")];
  let current = 0;

  function show(number) {
    current = (number + links.length) % links.length;
    const link = links[current], caption = link.closest("figure").querySelector("figcaption");
    const picture = document.createElement("div");
    picture.className = link.className;
    picture.append(...[...link.childNodes].map((node) => node.cloneNode(true)));
    const image = picture.querySelector("img");
    if (image) { image.loading = "eager"; image.src = image.dataset.full || image.src; }
    slot.replaceChildren(picture);
    title.textContent = image?.alt || link.getAttribute("aria-label") || "Image";
    said.textContent = [...caption.childNodes].map((node) => node.textContent.trim()).filter(Boolean).join(" · ");
    if (!dialog.open) dialog.showModal();
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-large]"), step = event.target.closest("[data-step]");
    if (link && !event.ctrlKey && !event.metaKey) { event.preventDefault(); show(links.indexOf(link)); }
    if (step) show(current + +step.dataset.step);
  });
  dialog.addEventListener("keydown", ({ key }) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (step) show(current + step);
  });
  document.querySelectorAll("form[data-submit-on-change]").forEach((form) => form.addEventListener("change", () => form.requestSubmit()));
})();
