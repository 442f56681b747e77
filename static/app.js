/* What pages do beside HTMX. No page needs it to work: theme, copy, toasts, keys, menus, password eye, rows. */
"use strict";
(() => {
  const root = document.documentElement;
  const toastArea = () => document.getElementById("toasts");
  const TOAST_MS = 8000;
  const YEAR_S = 365 * 24 * 3600;

  /* Theme: the cookie is what the server reads for the next page; charts listen to rastro:theme. */
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("[data-theme-form]");
    if (!form || !event.submitter) return;
    event.preventDefault();
    const theme = event.submitter.value;
    if (theme === "auto") root.removeAttribute("data-bs-theme");
    else root.setAttribute("data-bs-theme", theme);
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `theme=${theme}; path=/; max-age=${YEAR_S}; samesite=lax${secure}`;
    for (const button of document.querySelectorAll("[data-theme-form] button")) {
      const on = button.value === theme;
      button.classList.toggle("on", on);
      button.setAttribute("aria-pressed", String(on));
    }
    document.dispatchEvent(new CustomEvent("rastro:theme"));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new CustomEvent("rastro:theme")));

  /* Toasts: one at a time, eight seconds, held while looked at. */
  function show(text, tone) {
    const area = toastArea();
    if (!area) return;
    const toast = document.createElement("div");
    toast.className = `rs-toast ${tone}`;
    toast.dataset.toast = "";
    const words = document.createElement("span");
    words.textContent = text;
    toast.append(words);
    area.replaceChildren(toast);
    start(toast);
  }
  function start(toast) {
    let timer = 0;
    const leave = () => { timer = setTimeout(() => toast.remove(), TOAST_MS); };
    const stay = () => clearTimeout(timer);
    const close = document.createElement("button");
    close.type = "button";
    close.className = "btn-bare";
    close.textContent = "×";
    close.setAttribute("aria-label", toastArea().dataset.close);
    close.addEventListener("click", () => toast.remove());
    toast.append(close);
    toast.addEventListener("pointerenter", stay);
    toast.addEventListener("pointerleave", leave);
    toast.addEventListener("focusin", stay);
    toast.addEventListener("focusout", leave);
    leave();
  }
  function startToasts() {
    const toasts = [...document.querySelectorAll("[data-toast]:not([data-started])")];
    toasts.slice(0, -1).forEach((toast) => toast.remove());
    toasts.slice(-1).forEach((toast) => { toast.dataset.started = ""; start(toast); });
  }

  /* Copy: the clipboard of the browser needs https or localhost; elsewhere the old way. */
  async function copy(button) {
    const text = button.dataset.copy;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      area.className = "rs-unseen";
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    const use = button.querySelector("use");
    if (use) {
      const before = use.getAttribute("href");
      use.setAttribute("href", before.replace(/#.*/, "#check"));
      setTimeout(() => use.setAttribute("href", before), 1500);
    }
    show(button.dataset.copied, "ok");
  }

  function eye(button) {
    const input = document.getElementById(button.dataset.eye);
    const seen = input.type === "password";
    input.type = seen ? "text" : "password";
    button.setAttribute("aria-pressed", String(seen));
    const use = button.querySelector("use");
    use.setAttribute("href", use.getAttribute("href").replace(/#.*/, seen ? "#eye-off" : "#eye"));
  }

  /* A row with an address opens it, unless something in it was meant. */
  function openRow(event) {
    const row = event.target.closest("[data-href]");
    if (!row || event.defaultPrevented || event.target.closest("a, button, input, select, label, summary, details")) return;
    if (String(getSelection())) return;
    if (event.ctrlKey || event.metaKey || event.button === 1) window.open(row.dataset.href, "_blank", "noopener");
    else location.assign(row.dataset.href);
  }

  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll(".rs-menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
    const copier = event.target.closest("[data-copy]");
    if (copier) { event.preventDefault(); copy(copier); return; }
    const eyer = event.target.closest("[data-eye]");
    if (eyer) { eye(eyer); return; }
    openRow(event);
  });
  document.addEventListener("auxclick", (event) => { if (event.button === 1) openRow(event); });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      for (const menu of document.querySelectorAll(".rs-menu[open]")) {
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    }
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const find = document.querySelector("[data-find]");
      if (find) { event.preventDefault(); find.focus(); find.select(); }
    }
  });

  /* A save bar that counts: <form data-watch data-none="…" data-one="…" data-many="{n} …"> with [data-watch-count]. */
  function watch(form) {
    const label = form.querySelector("[data-watch-count]");
    const changed = (field) => {
      if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
      if (field instanceof HTMLSelectElement) return [...field.options].some((option) => option.selected !== option.defaultSelected);
      return field.value !== field.defaultValue;
    };
    const count = () => {
      const n = [...form.elements].filter((field) => field.name && field.type !== "hidden" && field.type !== "submit" && changed(field)).length;
      if (label) label.textContent = n === 0 ? form.dataset.none : n === 1 ? form.dataset.one : form.dataset.many.replace("{n}", n);
      form.toggleAttribute("data-changed", n > 0);
    };
    form.addEventListener("input", count);
    form.addEventListener("reset", () => setTimeout(count));
    count();
  }

  function prepare() {
    for (const button of document.querySelectorAll("[data-eye][hidden]")) button.hidden = false;
    for (const form of document.querySelectorAll("form[data-watch]:not([data-watched])")) { form.dataset.watched = ""; watch(form); }
    startToasts();
    const wrong = document.querySelector("[aria-invalid='true']:not([data-met])");
    if (wrong) { wrong.dataset.met = ""; wrong.focus(); }
  }

  document.addEventListener("htmx:afterSettle", prepare);
  document.addEventListener("htmx:oobAfterSwap", startToasts);
  document.addEventListener("htmx:sendError", () => show(toastArea().dataset.lost, "bad"));
  document.addEventListener("htmx:responseError", () => show(toastArea().dataset.failed, "bad"));
  prepare();
})();
