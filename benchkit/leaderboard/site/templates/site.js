"use strict";
// What every page shares: making elements from text, numbers as people read them, the theme, charts, sliders.
(() => {
  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) if (value !== "" || key === "value") element.setAttribute(key, value);
    element.append(...children); // text is text, never markup
    return element;
  };
  const minus = (shown) => shown.replace("-", "\u2212");
  const fixed = (value, digits) => (value === null || value === undefined ? "–" : minus(Number(value.toFixed(digits)) === 0 ? (0).toFixed(digits) : value.toFixed(digits)));
  const percent = (value) => fixed(value === null || value === undefined ? null : 100 * value, 2);
  const signed = (value) => (value > 0 ? "+" : "") + percent(value);
  const interval = (low, high) => (low === null || high === null ? "" : `[${percent(low)}, ${percent(high)}]`);
  const number = (value) => (value === null || value === undefined ? "–" : fixed(value, Math.abs(value) >= 100 ? 0 : 1));
  window.benchkitText = { make, percent, signed, interval, number };

  // ---- theme: of the system, until a reader chooses ----
  const root = document.documentElement;
  const stored = () => { try { return localStorage.getItem("benchkit-theme"); } catch { return null; } };
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
  if (stored()) root.dataset.theme = stored();
  const toggle = document.getElementById("theme");
  const label = () => { toggle.textContent = dark() ? "Light" : "Dark"; toggle.setAttribute("aria-label", `use the ${dark() ? "light" : "dark"} theme`); };
  label();
  toggle.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("benchkit-theme", root.dataset.theme); } catch { /* a page without storage forgets it */ }
    label();
    for (const box of charts.keys()) plot(box);
  });

  // ---- charts: Plotly is read when the first one comes near the screen ----
  const charts = new Map();
  const COLOURS = { light: ["#0072b2", "#b34a00", "#00785a", "#a8447f", "#6b5d00", "#56507f"], dark: ["#56b4e9", "#e69f00", "#2fc69a", "#e29fc6", "#d8cc55", "#b3acdf"] };
  let library = null;
  const loadLibrary = () => {
    library = library || new Promise((done, fail) => {
      const script = make("script", { src: `${document.body.dataset.root}assets/plotly.min.js` });
      script.addEventListener("load", done);
      script.addEventListener("error", fail);
      document.head.append(script);
    });
    return library;
  };
  const trace = (one, colours, wide) => {
    const color = colours[one.color % colours.length];
    const base = { x: one.x, y: one.y, name: one.name, text: one.text, ids: one.ids, line: { color, dash: one.dashed ? "dash" : "solid" }, marker: { color, size: 8 } };
    const bars = (up, down) => (up ? { type: "data", symmetric: false, array: up, arrayminus: down, color, thickness: 1.2, width: 0 } : undefined);
    if (one.kind === "front") return { ...base, mode: one.text && wide ? "lines+text" : "lines", text: (one.text || []).map(escapeMarkup), textposition: "top right", textfont: { size: 11 }, line: { color, shape: one.shape || "hv", dash: "dot", width: 1.5 }, hoverinfo: "skip" };
    if (one.kind === "bars") return { ...base, type: "bar", error_y: bars(one.up, one.down) };
    const hover = `<b>%{text}</b><br>%{x}, %{y:.2f} %<extra>${escapeMarkup(one.name)}</extra>`;
    return { ...base, mode: one.kind === "line" ? "lines+markers" : "markers", text: (one.text || []).map(escapeMarkup), error_y: bars(one.up, one.down), error_x: bars(one.right, one.left), cliponaxis: false, hovertemplate: one.text ? hover : undefined };
  };
  // Plotly reads some HTML in its texts; foreign names are shown as they are.
  const escapeMarkup = (text) => String(text).replace(/[<>&]/g, (c) => ({ "<": "&lt;", ">": "&gt;", "&": "&amp;" })[c]);
  const plot = (box) => {
    const chart = charts.get(box);
    if (!window.Plotly || !chart) return;
    const style = getComputedStyle(root);
    const colour = (name) => style.getPropertyValue(name).trim();
    const [ink, muted, rule] = dark() ? ["#e6e8eb", "#a0a9b3", "#333a42"] : ["#1b1f24", "#59616b", "#dcdfe3"];
    const wide = box.clientWidth > 560;
    // A long title of an axis is broken where the chart is narrow.
    const broken = (title) => (wide ? title : title.replace(/(.{24}\S*) /g, "$1<br>"));
    const axis = (title) => ({ title: { text: broken(title), standoff: 12 }, gridcolor: rule, zerolinecolor: rule, linecolor: rule, tickfont: { color: muted }, automargin: true, rangemode: "tozero" });
    const layout = {
      font: { family: colour("--sans") || "sans-serif", color: ink, size: 13 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 56, r: 12, t: 12, b: 48 }, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, hovermode: "closest",
      xaxis: axis(chart.x), yaxis: axis(chart.y), barmode: "group", height: chart.height || 420, showlegend: chart.traces.length > 1,
    };
    // Points on an axis would be cut by its line.
    const largest = Math.max(0, ...chart.traces.filter((one) => one.kind === "points").flatMap((one) => one.x));
    if (largest) layout.xaxis.range = [-0.03 * largest, 1.06 * largest];
    if (chart.category) Object.assign(layout.xaxis, { type: "category", showgrid: false });
    const shown = chart.traces.map((one) => ({ ...trace(one, COLOURS[dark() ? "dark" : "light"], wide), name: escapeMarkup(one.name) }));
    const options = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"], toImageButtonOptions: { format: "svg", filename: "benchkit" } };
    window.Plotly.react(box, shown, layout, options);
    if (chart.pick && !box.dataset.picks) {
      box.dataset.picks = "yes";
      box.on("plotly_click", (event) => { const id = event.points[0] && event.points[0].id; if (id) charts.get(box).pick(id); });
    }
  };
  const near = new IntersectionObserver((seen) => {
    for (const entry of seen) if (entry.isIntersecting) {
      near.unobserve(entry.target);
      loadLibrary().then(() => plot(entry.target), () => { entry.target.textContent = "The chart's library could not be read: copy the whole site."; });
    }
  }, { rootMargin: "300px" });
  window.benchkitChart = (box, chart) => {
    const fresh = !charts.has(box);
    charts.set(box, chart);
    if (fresh) near.observe(box);
    else plot(box);
  };
  for (const box of document.querySelectorAll("[data-chart]")) window.benchkitChart(box, JSON.parse(document.getElementById(box.dataset.chart).textContent));

  // ---- before and after ----
  for (const slider of document.querySelectorAll("input.slider")) {
    const show = () => slider.closest("figure").querySelector(".pair").style.setProperty("--part", `${slider.value}%`);
    slider.addEventListener("input", show);
    show();
  }
})();
