/* The queues' pages: their charts, when the first page asks again, and how many entries are ticked. Without this file
   the tables say the same. Numbers stand as JSON in [data-chart-data]; the canvases are kept across swaps. */
"use strict";
(() => {
  const language = document.documentElement.lang || "en";
  const whole = new Intl.NumberFormat(language);
  const short = new Intl.NumberFormat(language, { notation: "compact", maximumFractionDigits: 1 });
  const drawn = new Map();  /* canvas -> chart */
  let text = "", colours = null;

  /* A token is text with light-dark() in it; only a computed colour says what it is now. */
  function read() {
    const probe = document.createElement("span");
    probe.hidden = true;
    document.body.append(probe);
    const of = (token) => { probe.style.color = `var(--rs-${token})`; return getComputedStyle(probe).color; };
    const found = { series: ["c1", "c2", "c3", "c4"].map(of), grid: of("line"), quiet: of("ink-3"), plate: of("ink"), onPlate: of("canvas") };
    probe.remove();
    return found;
  }
  const faint = (colour, share) => colour.replace(/^rgb\((.*)\)$/, `rgba($1, ${share})`);

  function datasets(kind, data) {
    const line = { pointRadius: 0, pointHoverRadius: 3, borderWidth: 2, borderJoinStyle: "round", spanGaps: 2 };
    if (kind === "processes") return [{ ...line, label: data.names.processes, data: data.processes, stepped: true, borderColor: colours.series[0], backgroundColor: faint(colours.series[0], .09), fill: true }];
    return data.queues.map((queue, index) => ({ ...line, label: queue, data: data[kind][index], borderColor: colours.series[index], backgroundColor: faint(colours.series[index], .16),
      borderWidth: index ? 1.5 : 2, fill: kind === "depth" ? (index ? "-1" : "origin") : false, pointHoverBackgroundColor: colours.series[index] }));
  }

  /* Labels stand where the server put them; where they would touch, only every second, third, ... is shown. */
  const ticks = (data) => function tick(value, index) {
    if (!data.labels[index]) return "";
    const places = data.labels.reduce((found, label, at) => (label ? [...found, at] : found), []);
    const each = Math.ceil((places.length * 52) / Math.max(this.chart.width - 48, 1));
    return places.indexOf(index) % each === 0 ? data.labels[index] : "";
  };

  function options(kind, data) {
    const stacked = kind === "depth";
    const last = kind === "processes";
    return {
      animation: false, responsive: true, maintainAspectRatio: false, normalized: true, locale: language,
      interaction: { mode: "index", intersect: false },
      layout: { padding: { top: 4, right: 4 } },
      scales: {
        x: { grid: { display: false }, border: { color: colours.grid }, ticks: { display: stacked || last, color: colours.quiet, autoSkip: false, maxRotation: 0, callback: ticks(data), padding: 4 } },
        y: { stacked, beginAtZero: true, suggestedMax: 4, afterFit: (scale) => { scale.width = 44; }, grid: { color: colours.grid, drawTicks: false }, border: { display: false }, ticks: { color: colours.quiet, maxTicksLimit: stacked ? 5 : 3, precision: 0, padding: 8, callback: (value) => short.format(value) } },
      },
      plugins: {
        legend: { display: false },
        tooltip: { displayColors: false, backgroundColor: colours.plate, titleColor: colours.onPlate, bodyColor: colours.onPlate, footerColor: colours.onPlate, footerFont: { weight: 500 }, padding: 10, cornerRadius: 8, caretSize: 0, filter: (item) => item.raw !== null,
          callbacks: { title: (items) => data.titles[items[0]?.dataIndex] ?? "", label: (item) => `${item.dataset.label}: ${whole.format(item.raw)}`,
            footer: (items) => (last || items.length < 2 ? "" : `${data.names.total}: ${whole.format(items.reduce((sum, item) => sum + (item.raw ?? 0), 0))}`) } },
      },
    };
  }

  function draw(force) {
    const source = document.querySelector("[data-chart-data]");
    if (!source || !window.Chart || (!force && source.textContent === text && drawn.size && [...drawn.keys()].every((canvas) => canvas.isConnected))) return;
    text = source.textContent;
    colours = colours && !force ? colours : read();
    const data = JSON.parse(text);
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.font.size = 12;
    for (const [canvas, chart] of drawn) if (!canvas.isConnected) { chart.destroy(); drawn.delete(canvas); }
    for (const canvas of document.querySelectorAll("canvas[data-chart]")) {
      const kind = canvas.dataset.chart;
      const parts = { data: { labels: data.titles, datasets: datasets(kind, data) }, options: options(kind, data) };
      const chart = drawn.get(canvas);
      if (chart) { Object.assign(chart, parts); chart.update("none"); }
      else drawn.set(canvas, new Chart(canvas, { type: "line", ...parts }));
    }
  }

  /* Asking again: not while nobody looks, nor while somebody is being asked something or has selected a text. */
  const busy = () => document.hidden || document.querySelector("#live .rs-menu[open]") || document.querySelector("#live")?.contains(getSelection().isCollapsed ? null : getSelection().anchorNode);
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.matches("[data-poll]") && busy()) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    const poll = document.querySelector("[data-poll]");
    if (poll && !document.hidden) htmx.trigger(poll, "look");
  });
  for (const name of ["htmx:sendError", "htmx:responseError"]) {
    document.addEventListener(name, (event) => {
      if (!event.target.matches?.("[data-poll]")) return;
      event.stopPropagation();  /* the page says so itself, and old figures stay */
      document.querySelector("[data-stale]")?.removeAttribute("hidden");
    }, true);
  }
  let open = [];
  document.addEventListener("htmx:beforeSwap", () => { open = [...document.querySelectorAll("#live details[id][open]:not(.rs-menu)")].map((part) => part.id); });
  document.addEventListener("htmx:afterSwap", () => {
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    draw(false);
  });
  document.addEventListener("rastro:theme", () => draw(true));

  /* Ticks: all at once, and how many. */
  document.addEventListener("change", (event) => {
    const form = event.target.closest(".q-pick");
    if (!form) return;
    const boxes = [...form.querySelectorAll("tbody [type=checkbox]")];
    const all = form.querySelector("[data-all]");
    if (event.target === all) for (const box of boxes) box.checked = all.checked;
    const count = boxes.filter((box) => box.checked).length;
    all.checked = count === boxes.length;
    all.indeterminate = count > 0 && count < boxes.length;
    const words = form.querySelector("[data-selected]");
    words.textContent = count === 1 ? words.dataset.one : words.dataset.many.replace("{n}", whole.format(count));
  });
  draw(false);
})();
