/* The chart of a report, and when its page asks again. Without this file the table below the chart says the same.
   The numbers stand as JSON in [data-chart-data]; the host [data-chart] is kept across swaps, so nothing flickers. */
"use strict";
(() => {
  const SMOOTH_UP_TO = 100;
  const FAST_MS = 1_000, FAST_FOR_MS = 60_000, SLOW_MS = 10_000;
  const language = document.documentElement.lang || "en";
  const whole = new Intl.NumberFormat(language);
  const short = new Intl.NumberFormat(language, { notation: "compact", maximumFractionDigits: 1 });
  let drawn = null;

  /* A token is text with light-dark() in it; only a computed colour says what it is now. */
  function colours(host) {
    const probe = document.createElement("span");
    probe.hidden = true;
    host.append(probe);
    const read = (token) => {
      probe.style.color = `var(--rs-${token})`;
      return getComputedStyle(probe).color;
    };
    const found = { line: read("c1"), before: read("c6"), grid: read("line"), ink: read("ink-2"), quiet: read("ink-3"), surface: read("surface"), plate: read("ink"), onPlate: read("canvas") };
    probe.remove();
    found.fill = found.line.replace(/^rgb\((.*)\)$/, "rgba($1, 0.09)");
    return found;
  }

  function datasets(data, c) {
    const curve = data.now.length > SMOOTH_UP_TO ? {} : { cubicInterpolationMode: "monotone" };
    const plain = { pointRadius: 0, pointHoverRadius: 3, pointHoverBackgroundColor: c.line, borderJoinStyle: "round", ...curve };
    const sets = [{ ...plain, label: data.names[0], data: data.now, borderColor: c.line, borderWidth: 2, backgroundColor: c.fill, fill: true, order: 2 }];
    if (data.open) {
      const { at, value, soFar } = data.open;
      const last = soFar !== null && at > 0 ? at - 1 : at;  /* a count so far stands alone: joined up it would look like a fall */
      const points = data.now.map((_, index) => (index === at ? value : index === last ? data.now[last] : null));
      sets.push({ label: data.open.name, data: points, borderColor: c.line, borderWidth: 2, borderDash: [2, 3], fill: false, order: 1,
        pointRadius: points.map((_, index) => (index === at ? 4 : 0)), pointHoverRadius: 4, pointBackgroundColor: c.surface, pointHoverBackgroundColor: c.surface, pointBorderColor: c.line, pointBorderWidth: 2 });
    }
    if (data.before) sets.push({ ...plain, label: data.names[1], data: data.before, borderColor: c.before, borderWidth: 1.5, borderDash: [5, 4], fill: false, order: 3, pointHoverBackgroundColor: c.before });
    return sets;
  }

  /* Day hairlines, and the dotted line where now is. */
  const marks = {
    id: "marks",
    beforeDatasetsDraw(chart) {
      const { data, c } = drawn;
      const { ctx, chartArea: area, scales: { x } } = chart;
      ctx.save();
      ctx.lineWidth = 1;
      ctx.strokeStyle = c.grid;
      for (const index of data.lines) stroke(ctx, Math.round(x.getPixelForValue(index)) + .5, area);
      if (data.nowAt !== null) {
        const step = data.now.length > 1 ? x.getPixelForValue(1) - x.getPixelForValue(0) : 0;
        const place = Math.min(Math.round(x.getPixelForValue(0) + data.nowAt * step) + .5, area.right);
        ctx.strokeStyle = c.quiet;
        ctx.setLineDash([1.5, 3]);
        stroke(ctx, place, area);
        ctx.fillStyle = c.ink;
        ctx.font = `500 12px ${Chart.defaults.font.family}`;
        ctx.textBaseline = "top";
        const room = ctx.measureText(data.nowLabel).width + 8;
        ctx.textAlign = place + room > chart.width ? "right" : "left";
        ctx.fillText(data.nowLabel, place + (ctx.textAlign === "left" ? 6 : -6), area.top);
      }
      ctx.restore();
    },
  };
  function stroke(ctx, x, area) {
    ctx.beginPath();
    ctx.moveTo(x, area.top);
    ctx.lineTo(x, area.bottom);
    ctx.stroke();
  }

  /* Labels stand where the server put them; where they would touch, only every second, third, ... is shown. */
  function tick(value, index) {
    const { data } = drawn;
    if (!data.labels[index]) return "";
    const places = data.labels.reduce((found, text, at) => (text ? [...found, at] : found), []);
    const each = Math.ceil((places.length * 56) / Math.max(this.chart.width - 48, 1));
    return places.indexOf(index) % each === 0 ? data.labels[index] : "";
  }

  function sayPoint(item) {
    const { data } = drawn;
    const index = item.dataIndex;
    if (data.open && item.dataset.label === data.open.name) {
      if (index !== data.open.at) return null;
      const pace = `${data.open.name}: ${whole.format(data.open.value)}`;
      return data.open.soFar === null ? pace : [`${data.open.soFarName}: ${whole.format(data.open.soFar)}`, pace];
    }
    return `${item.dataset.label}: ${whole.format(item.raw)}`;
  }
  function sayDifference(items) {
    const { data } = drawn;
    const index = items[0]?.dataIndex ?? -1;
    const now = data.now[index] ?? null, before = data.before?.[index] ?? null;
    if (now === null || before === null) return "";
    const difference = now - before;
    return `${data.differs}: ${difference > 0 ? "+" : difference < 0 ? "−" : ""}${whole.format(Math.abs(difference))}`;
  }

  function options(c) {
    const shown = (item) => item.raw !== null && sayPoint(item) !== null;
    return {
      animation: false, responsive: true, maintainAspectRatio: false, normalized: true, locale: language,
      interaction: { mode: "index", intersect: false },
      layout: { padding: { top: 4, right: 4 } },
      scales: {
        x: { grid: { display: false }, border: { color: c.grid }, ticks: { color: c.quiet, autoSkip: false, maxRotation: 0, callback: tick, padding: 4 } },
        y: { beginAtZero: true, suggestedMax: 4, grid: { color: c.grid, drawTicks: false }, border: { display: false }, ticks: { color: c.quiet, maxTicksLimit: 5, precision: 0, padding: 8, callback: (value) => short.format(value) } },
      },
      plugins: {
        legend: { display: false },
        tooltip: { filter: shown, displayColors: false, backgroundColor: c.plate, titleColor: c.onPlate, bodyColor: c.onPlate, footerColor: c.onPlate, footerFont: { weight: 500 }, padding: 10, cornerRadius: 8, caretSize: 0,
          callbacks: { title: (items) => drawn.data.titles[items[0]?.dataIndex] ?? "", label: sayPoint, footer: sayDifference } },
      },
    };
  }

  function draw() {
    const host = document.querySelector("[data-chart]"), source = document.querySelector("[data-chart-data]");
    if (!host || !source || !window.Chart) return;
    const text = source.textContent;
    if (drawn?.host === host && drawn.text === text) return;
    paint(host, text);
  }
  function paint(host, text) {
    const data = JSON.parse(text), c = colours(host);
    const style = getComputedStyle(document.body);
    Chart.defaults.font.family = style.fontFamily;
    Chart.defaults.font.size = 12;
    const chart = drawn?.host === host ? drawn.chart : null;
    if (!chart) drawn?.chart.destroy();
    drawn = { host, text, data, c, chart };
    const parts = { data: { labels: data.titles, datasets: datasets(data, c) }, options: options(c) };
    if (chart) {
      Object.assign(chart, parts);
      chart.update("none");
    } else {
      drawn.chart = new Chart(host.querySelector("canvas"), { type: "line", plugins: [marks], ...parts });
    }
  }

  /* Asking again: every second in the first minute, then every 10 s; not while nobody looks, and quiet when it fails. */
  const opened = Date.now();
  let asked = 0;
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!event.target.matches("[data-poll]")) return;
    const now = Date.now();
    const gap = now - opened < FAST_FOR_MS ? FAST_MS : SLOW_MS;
    if (document.hidden || now - asked < gap - FAST_MS / 2) event.preventDefault();
    else asked = now;
  });
  document.addEventListener("visibilitychange", () => {
    const poll = document.querySelector("[data-poll]");
    if (poll && !document.hidden) htmx.trigger(poll, "look");
  });
  for (const name of ["htmx:sendError", "htmx:responseError"]) {
    document.addEventListener(name, (event) => { if (event.target.matches?.("[data-poll]")) event.stopPropagation(); }, true);
  }

  /* A table that a person opened stays open when new numbers come. */
  let open = [];
  document.addEventListener("htmx:beforeSwap", () => { open = [...document.querySelectorAll("details[id][open]")].map((part) => part.id); });
  document.addEventListener("htmx:afterSwap", () => {
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    draw();
  });
  document.addEventListener("rastro:theme", () => { if (drawn) paint(drawn.host, drawn.text); });
  draw();
})();
