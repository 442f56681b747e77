/* The live test: it asks for news while somebody looks, at once when they come back from the shop, and says quietly
   when Rastro does not answer. Without this file the page can be loaded again. */
"use strict";
(() => {
  const poll = () => document.querySelector("[data-poll]");
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target === poll() && document.hidden) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    if (poll() && !document.hidden) htmx.trigger(poll(), "look");
  });
  const stale = (event, is) => { if (event.target === poll()) document.querySelector("[data-stale]").hidden = !is; };
  for (const name of ["htmx:sendError", "htmx:responseError"]) {
    document.addEventListener(name, (event) => {
      if (event.target !== poll()) return;
      event.stopPropagation();  /* no toast every two seconds */
      stale(event, true);
    }, true);
  }
  document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.successful) stale(event, false); });
})();
