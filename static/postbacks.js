/* The inbox: rows that open where they are pressed, keys, and when the list asks again. Without this file links do. */
"use strict";
(() => {
  const links = () => [...document.querySelectorAll("#list [data-row] a[id]")];

  /* Asking again: not while nobody looks, nor while a menu of the list is open or a text of it selected. */
  const busy = () => document.hidden || document.querySelector("#list")?.contains(getSelection().isCollapsed ? null : getSelection().anchorNode);
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.matches("[data-poll]") && busy()) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    const poll = document.querySelector("[data-poll]");
    if (poll && !document.hidden) htmx.trigger(poll, "look");
  });
  for (const name of ["htmx:sendError", "htmx:responseError"]) {
    document.addEventListener(name, (event) => {
      if (event.target.matches?.("[data-poll]")) event.stopPropagation();  /* the old rows stay; the next look may work */
    }, true);
  }

  document.addEventListener("click", (event) => {
    const row = event.target.closest("[data-row]");
    if (!row || event.defaultPrevented || event.target.closest("a, button, input, label, summary") || String(getSelection())) return;
    const link = row.querySelector("a[id]");
    if (event.ctrlKey || event.metaKey) window.open(link.href, "_blank", "noopener");
    else link.click();
  });

  /* What was opened is looked at from its top where it stands alone; what was closed leaves the focus on its row. */
  let open = "";
  document.addEventListener("htmx:beforeSwap", () => { open = document.querySelector("#list a[aria-current]")?.id ?? ""; });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id !== "inbox") return;
    const list = document.getElementById("list");
    if (document.getElementById("detail")) { if (list && !list.offsetParent) scrollTo(0, 0); }
    else if (open) document.getElementById(open)?.focus({ preventScroll: true });
  });

  /* Up and down go through the rows, Enter opens (it is a link), Escape closes. */
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.target.closest("input, textarea, select, summary, details[open]")) return;
    if (event.key === "Escape") {
      document.querySelector("[data-close]")?.click();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (event.target.closest(".rs-code, pre")) return;
      const rows = links();
      if (!rows.length) return;
      const here = rows.indexOf(document.activeElement);
      const opened = rows.findIndex((row) => row.getAttribute("aria-current"));
      const from = here >= 0 ? here : opened;
      const next = event.key === "ArrowDown" ? from + 1 : from < 0 ? 0 : from - 1;
      event.preventDefault();
      rows[Math.min(Math.max(next, 0), rows.length - 1)].focus();
    }
  });
})();
