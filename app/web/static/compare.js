"use strict";
/* The comparison of jobs: another metric is shown without a button. */
document.querySelectorAll("form[data-submit-on-change]").forEach((form) => form.addEventListener("change", () => form.requestSubmit()));
