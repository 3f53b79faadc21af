"use strict";
// The board: one table of all rows. The address holds everything that a reader chose, so that a view can be linked.
(() => {
  const { columns, fields, groups, boards, seasons } = window.benchkitData;
  const values = (name) => {
    const field = fields[name];
    return field && field.words ? field.places.map((i) => (i < 0 ? null : field.words[i])) : field || [];
  };
  const data = Object.fromEntries(Object.keys(fields).map((name) => [name, values(name)]));
  const count = data.id.length;
  const byId = new Map(data.id.map((id, i) => [id, i]));
  const byKey = new Map(columns.map((column) => [column.key, column]));
  const FILTERS = ["board", "dataset", "detector", "selector", "role", "steps", "badge", ...(seasons.length ? ["season"] : [])];
  const PAGE = 100;
  const COSTS = { evaluations: "network evaluations of the diffusion model for one corrupted image", seconds: "seconds of all seeds, where the run took place", iterations: "training iterations of the detector", train_images: "training images of the detector" };
  const RANKS = { rank: "tier", rank_ap: "tier_ap", rank_fresh: "", rank_fresh_ap: "" };
  const NARROW = ["rank", "name", "iou", "ap"]; // what a phone has room for
  const narrow = matchMedia("(max-width: 44rem)").matches;
  // What is shown where a season is chosen: public and fresh figures side by side.
  const FRESH = narrow ? ["rank", "rank_fresh", "name", "lead"] : ["rank", "rank_fresh", "rank_ap", "rank_fresh_ap", "name", "iou", "fresh", "lead", "lead_ap"];
  // What all trained rows share is told once in their heading instead of in a column.
  const SHARED = ["selector", "badge"].filter((key) => new Set(data[key].filter((v, i) => v && data.kind[i] === "trained")).size === 1);
  const isDefault = (c) => (narrow ? NARROW.includes(c.key) : c.shown && !SHARED.includes(c.key));
  const DEFAULT_COLUMNS = columns.filter(isDefault).map((c) => c.key).join(",");
  const ROLES = { human: "the labelled images alone", pseudo: "the same masks, no corruption", oracle: "wild images with their labels" };
  const printed = data.kind.filter((kind) => kind === "reported").length;
  const $ = (id) => document.getElementById(id);
  const { make, percent, signed, interval, number } = window.benchkitText;

  // ---- the state in the address ----
  let state = {};
  const readState = () => {
    const given = new URLSearchParams(location.hash.slice(1));
    state = { sort: "rank", cols: DEFAULT_COLUMNS, page: "1", cmp: "", q: "", by: "iou", cost: "evaluations", paper: "" };
    for (const [key, value] of given) state[key] = value;
    if (!byKey.has(state.sort.replace("-", ""))) state.sort = "rank";
  };
  const address = () => {
    const shown = new URLSearchParams();
    const plain = { sort: "rank", cols: DEFAULT_COLUMNS, page: "1", by: "iou", cost: "evaluations" };
    for (const key of [...FILTERS, "q", "sort", "cols", "page", "cmp", "by", "cost", "paper"]) {
      if (state[key] && state[key] !== plain[key]) shown.set(key, state[key]);
    }
    return `#${shown}`;
  };
  const change = (more, keep = false) => {
    if (!("page" in more)) state.page = "1";
    Object.assign(state, more);
    const next = address();
    if (keep) { history.replaceState(null, "", next); draw(); }
    else { location.hash = next; draw(); }
  };

  // Fresh figures are those of the chosen season, else of the latest one.
  const useSeason = () => {
    const chosen = seasons.find((one) => one.name === state.season) || seasons[seasons.length - 1];
    if (chosen) Object.assign(data, chosen.fields);
  };

  // ---- which rows, in which order ----
  const text = (i, key) => (data[key][i] === null || data[key][i] === undefined ? "" : String(data[key][i]));
  const chosen = () => {
    const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = FILTERS.filter((key) => state[key] && key !== "season");
    const found = [];
    for (let i = 0; i < count; i++) {
      if (!wanted.every((key) => text(i, key) === state[key])) continue;
      if (state.season && seasons.length && data.fresh[i] === null) continue;
      const own = words.length ? ["name", "selector", "detector", "dataset", "board", "source"].map((k) => text(i, k)).join(" ").toLowerCase() : "";
      if (words.every((word) => own.includes(word))) found.push(i);
    }
    // The figures that the paper prints follow on request, or where nothing else fits.
    const measured = found.filter((i) => data.kind[i] !== "reported");
    return state.paper || !measured.length ? found : measured;
  };
  const collator = new Intl.Collator("en");
  const compareBy = (key, sign) => (a, b) => {
    const [x, y] = [data[key][a], data[key][b]];
    const [no, nor] = [x === null || x === undefined, y === null || y === undefined];
    if (no || nor) return no && nor ? a - b : no ? 1 : -1; // what has no figure stays last either way
    const order = typeof x === "string" ? collator.compare(x, y) : x - y;
    return sign * order || a - b;
  };
  const ordered = (rows) => {
    const key = state.sort.replace("-", "");
    const sign = state.sort.startsWith("-") ? -1 : 1;
    const within = compareBy(key, sign);
    // Ranks are places within a group, so only there can they be compared.
    return rows.sort(key in RANKS ? (a, b) => data.group[a] - data.group[b] || within(a, b) : within);
  };

  // ---- cells ----
  const TITLES = window.benchkitData.badges;
  const ends = {};
  for (const [key, fresh] of [["iou", "fresh"], ["ap", "fresh_ap"]]) ends[fresh] = ends[key] = data[`${key}_high`].reduce((most, v) => Math.max(most, v || 0), 0.01);
  // Differences share one scale per column, of the rows with corrupted images; what reaches farther is cut at the edge.
  const reach = {};
  const reachOf = (key) => {
    const end = (name, furthest, from) => data[`${key}_${name}`].reduce((found, v, i) => (["corrupted", "mixed"].includes(data.role[i]) ? furthest(found, v || 0) : found), from);
    return (reach[`${state.season || ""} ${key}`] ||= [end("low", Math.min, -0.001), end("high", Math.max, 0.001)]);
  };
  const places = {}; // season and ranking -> "group place" -> how many rows have it
  const tied = (i, key) => {
    const name = `${state.season || ""} ${key}`;
    const place = (j) => `${data.group[j]} ${data[key][j]}`;
    places[name] ||= data.id.reduce((found, _, j) => found.set(place(j), (found.get(place(j)) || 0) + 1), new Map());
    return places[name].get(place(i)) > 1;
  };
  const CELLS = {
    text: (i, key) => text(i, key) || "–",
    count: (i, key) => (data[key][i] === null ? "–" : String(data[key][i])),
    percent: (i, key) => percent(data[key][i]),
    number: (i, key) => number(data[key][i]),
    tier: (i, key) => (data[key][i] ? String(data[key][i]) : "–"),
    interval: (i, key) => {
      const [value, low, high] = ["", "_low", "_high"].map((end) => data[key + end][i]);
      if (value === null) return make("span", { class: "state" }, data.state[i] === "done" ? "–" : text(i, "state"));
      const cell = make("span", { class: "figure" }, make("b", {}, percent(value)));
      if (low === null) return cell;
      const bar = make("span", { class: "bar", "aria-hidden": "true" }, make("i"), make("b"));
      bar.firstChild.style.left = `${(100 * low) / ends[key]}%`;
      bar.firstChild.style.width = `${(100 * (high - low)) / ends[key]}%`;
      bar.lastChild.style.left = `${(100 * value) / ends[key]}%`;
      cell.append(make("span", { class: "ends" }, ` ${interval(low, high)}`), bar);
      return cell;
    },
    rank: (i, key) => {
      if (data[key][i] === null) return "–";
      const mark = key === "rank_ap" && data.reordered[i] ? make("abbr", { title: "changes places between the two rankings: calibration moved it" }, "†") : "";
      const ends = `[${Math.floor(data[`${key}_low`][i])}–${Math.ceil(data[`${key}_high`][i])}]`;
      return make("span", { class: "figure" }, make("b", {}, Math.floor(data[key][i]) + (tied(i, key) ? "=" : "")), mark, make("span", { class: "ends" }, ` ${ends}`));
    },
    delta: (i, key) => {
      const [value, low, high, verdict] = ["", "_low", "_high", "_verdict"].map((end) => data[key + end][i]);
      if (value === null) return "–";
      const cell = make("span", { class: "figure" }, make("b", {}, signed(value)), make("span", { class: "ends" }, ` ${interval(low, high)}`));
      const bar = make("span", { class: `bar lead ${verdict || ""}`, "aria-hidden": "true" }, make("i"), make("b"), make("u"));
      const [from, to] = reachOf(key);
      const at = (v) => Math.min(100, Math.max(0, (100 * (v - from)) / (to - from)));
      if (low !== null) {
        bar.children[0].style.left = `${at(low)}%`;
        bar.children[0].style.width = `${at(high) - at(low)}%`;
      }
      bar.children[1].style.left = `${at(value)}%`;
      bar.children[2].style.left = `${at(0)}%`;
      cell.append(make("span", { class: "below" }, verdict ? make("span", { class: `verdict ${verdict}` }, verdict) : "", bar));
      return cell;
    },
    seeds: (i) => {
      const planned = data.planned_seeds[i];
      const some = planned && planned !== data.seeds[i] ? ` of ${planned}` : "";
      const mark = data.unstable[i] ? make("abbr", { title: "its seeds vary far more than other rows'" }, "‡") : "";
      return data.seeds[i] === null ? "–" : make("span", {}, `${data.seeds[i]}${some}`, mark, data.sd[i] === null ? "" : make("span", { class: "ends" }, `, sd ${percent(data.sd[i])}`));
    },
    badge: (i, key) => make("span", { class: `badge ${data[key][i]}`, title: TITLES[data[key][i]] || "" }, data[key][i]),
    link: (i, key) => {
      const kind = key === "name" ? "method" : key;
      const label = text(i, key) || "–";
      if (label === "–") return label;
      const parts = label.split(/(?<=[:,+])/).flatMap((part, at) => (at ? [make("wbr"), part] : [part])); // a long name breaks here
      const link = make("a", { href: `${kind}s/${data[`${kind}_slug`][i]}.html` }, ...parts);
      const role = key === "name" && data.kind[i] === "trained" && ROLES[data.role[i]];
      return role ? make("span", {}, link, make("small", { class: "role" }, role)) : link;
    },
  };
  const LEFT = ["text", "link", "badge"];

  // ---- drawing ----
  const drawHead = (shown) => {
    const [key, down] = [state.sort.replace("-", ""), state.sort.startsWith("-")];
    const cells = [make("th", { scope: "col" }, make("span", { class: "hidden" }, "compare"))];
    for (const column of shown) {
      const on = column.key === key;
      const first = column.best > 0 ? `-${column.key}` : column.key;
      const next = on ? (down ? column.key : `-${column.key}`) : first;
      const button = make("button", { type: "button", title: column.meaning }, column.header);
      button.addEventListener("click", () => { change({ sort: next }); const again = document.querySelector(`th[data-key="${column.key}"] button`); if (again) again.focus(); });
      cells.push(make("th", { scope: "col", "data-key": column.key, class: LEFT.includes(column.kind) ? "left" : "", ...(on ? { "aria-sort": down ? "descending" : "ascending" } : {}) }, button));
    }
    $("head").replaceChildren(...cells);
  };
  const shared = (about, shown) => {
    const own = (key) => about.rows.map((i) => data[key][i]).find(Boolean);
    const words = { selector: (value) => `selector ${value}`, badge: (value) => value };
    return SHARED.filter((key) => !shown.some((column) => column.key === key) && own(key)).map((key) => words[key](own(key)));
  };
  const drawBody = (shown, rows) => {
    const key = state.sort.replace("-", "");
    const compared = state.cmp.split(",").filter(Boolean);
    const lines = [];
    let group = -1;
    let tier = null;
    for (const i of rows) {
      if (key in RANKS && data.group[i] !== group) {
        group = data.group[i];
        tier = null;
        const about = groups[group];
        lines.push(make("tr", { class: "heading" }, make("th", { scope: "rowgroup", colspan: shown.length + 1 }, make("span", {}, about.title), make("small", {}, [...(about.ranked ? shared(about, shown) : []), about.words[key]].filter(Boolean).join("; ")))));
      }
      const own = RANKS[key] ? data[RANKS[key]][i] : null;
      const box = make("input", { type: "checkbox", "aria-label": `compare ${text(i, "name")}, ${text(i, "detector")}` });
      box.checked = compared.includes(data.id[i]);
      box.addEventListener("change", () => choose(data.id[i], box.checked));
      const line = make("tr", { id: `row-${data.id[i]}`, class: [own && tier && own !== tier ? "tier" : "", box.checked ? "on" : "", data.kind[i]].join(" ") }, make("td", { class: "box" }, box));
      for (const column of shown) {
        const name = column.key === "name";
        line.append(make(name ? "th" : "td", { ...(name ? { scope: "row" } : {}), class: `${LEFT.includes(column.kind) ? "left " : ""}col-${column.key}` }, CELLS[column.kind](i, column.key)));
      }
      if (own) tier = own;
      lines.push(line);
    }
    if (!lines.length) lines.push(make("tr", {}, make("td", { class: "left", colspan: shown.length + 1 }, "No row fits these filters.")));
    $("body").replaceChildren(...lines);
    fit();
  };
  // A table that fits needs no box that scrolls sideways, so its head can stay in sight.
  const fit = () => {
    const box = $("table").parentElement;
    box.classList.remove("fits");
    box.classList.toggle("fits", $("table").offsetWidth <= box.clientWidth);
  };
  const choose = (id, on) => {
    const others = state.cmp.split(",").filter((one) => one && one !== id);
    change({ cmp: (on ? [...others, id].slice(-2) : others).join(","), page: state.page });
    const box = document.querySelector(`#row-${CSS.escape(id)} input`);
    if (box) box.focus();
  };
  const drawPages = (total) => {
    const last = Math.max(1, Math.ceil(total / PAGE));
    const at = Math.min(last, Math.max(1, parseInt(state.page, 10) || 1));
    const step = (to, label, words) => {
      const button = make("button", { type: "button", "aria-label": words }, label);
      button.disabled = to < 1 || to > last;
      button.addEventListener("click", () => change({ page: String(to) }));
      return button;
    };
    $("count").textContent = `${total} of ${state.paper ? count : count - printed || count} rows${last > 1 ? `, page ${at} of ${last}` : ""}`;
    $("pages").replaceChildren(...(last > 1 ? [step(1, "«", "first page"), step(at - 1, "‹", "previous page"), step(at + 1, "›", "next page"), step(last, "»", "last page")] : []));
    return at;
  };
  const drawHeader = (rows) => {
    const seen = [...new Set(rows.map((i) => data.group[i]))].map((place) => groups[place]).filter((g) => g.resolution.length);
    $("resolution").replaceChildren(...seen.flatMap((g) => g.resolution.map((one) => make("tr", {}, make("th", { scope: "row", class: "left" }, g.title), make("td", { class: "left" }, one.ranking), ...one.cells.map((cell) => make("td", {}, cell))))));
    $("resolution-box").hidden = !seen.length;
  };

  // ---- two rows compared ----
  const pairsOf = {};
  window.benchkitPairs = (board, pairs) => { pairsOf[board] = pairs; drawCompare(); };
  const needPairs = (board) => {
    if (board in pairsOf) return pairsOf[board];
    pairsOf[board] = null; // on its way
    const script = make("script", { src: `data/pairs-${board}.js` });
    script.addEventListener("error", () => { pairsOf[board] = []; drawCompare(); });
    document.head.append(script);
    return null;
  };
  const WORDS = {
    better: (a, b) => `${a} is better than ${b}.`,
    worse: (a, b) => `${a} is worse than ${b}.`,
    equivalent: (a, b) => `${a} and ${b} are equivalent: they differ by less than 1 point.`,
    unresolved: (a, b) => `Unresolved: these data do not tell ${a} and ${b} apart.`,
  };
  const drawCompare = () => {
    const rows = state.cmp.split(",").filter((id) => byId.has(id)).map((id) => byId.get(id));
    const panel = $("compare");
    panel.hidden = !rows.length;
    if (!rows.length) return;
    const alike = new Set(rows.map((i) => text(i, "detector"))).size === 1;
    const label = (i) => (alike ? text(i, "name") : `${text(i, "name")} (${text(i, "detector")})`);
    const list = $("compare-text");
    $("compare-link").href = address();
    if (rows.length === 1) return list.replaceChildren(make("p", {}, `${label(rows[0])} is chosen. Choose a second row to see their paired difference.`));
    const [a, b] = rows;
    const parts = [make("h3", {}, `${label(a)} − ${label(b)}${alike ? `, with ${text(a, "detector")}` : ""}`)];
    if (data.group[a] !== data.group[b] || !groups[data.group[a]].ranked) {
      parts.push(make("p", {}, "There is no paired difference. Rows are paired if they are of one board, detector, test set and protocol, and were measured; these two are not."));
      for (const key of ["iou", "ap"]) if (data[key][a] !== null && data[key][b] !== null) parts.push(make("p", {}, `${byKey.get(key).header.replace(", %", "")}: ${percent(data[key][a])} % and ${percent(data[key][b])} %.`));
      return list.replaceChildren(...parts);
    }
    if (groups[data.group[a]].joint) {
      const keys = ["iou", "ap"].filter((key) => data[`rank${key === "iou" ? "" : "_ap"}`][a] !== null);
      const bound = (end, key, i) => (data[`${key}_joint_${end}`] || [])[i] ?? (end === "low" ? -Infinity : Infinity);
      for (const key of keys) {
        const verdict = bound("low", key, a) > bound("high", key, b) ? "better" : bound("low", key, b) > bound("high", key, a) ? "worse" : "unresolved";
        parts.push(make("p", { class: "verdict-words" }, make("b", {}, `By ${byKey.get(key).header.replace(", %", "")}: `), WORDS[verdict](text(a, "name"), text(b, "name")), ` ${percent(data[key][a])} % and ${percent(data[key][b])} %.`));
      }
      return list.replaceChildren(...parts, make("p", { class: "small muted" }, "This ranking is too long for an interval of every pair. Each row has an interval of its difference to the mean of all rows, on the logit scale; two rows differ if these are disjoint."));
    }
    const pairs = needPairs(groups[data.group[a]].board);
    if (!pairs) return list.replaceChildren(...parts, make("p", {}, "Reading the pairs…"));
    const body = make("tbody");
    for (const [place, key] of [[0, "iou"], [1, "ap"]]) {
      const found = pairs.find((p) => p[0] === place && ((p[1] === a && p[2] === b) || (p[1] === b && p[2] === a)));
      if (!found) continue;
      const turn = found[1] === a ? 1 : -1;
      const [, , , difference, low, high, adjusted, improvement, verdict] = found;
      const turned = turn > 0 ? verdict : { better: "worse", worse: "better" }[verdict] || verdict;
      const [from, to] = turn > 0 ? [low, high] : [high === null ? null : -high, low === null ? null : -low];
      const chance = improvement === null ? "–" : percent(turn > 0 ? improvement : 1 - improvement);
      body.append(make("tr", {}, make("th", { scope: "row", class: "left" }, byKey.get(key).header), make("td", {}, percent(data[key][a])), make("td", {}, percent(data[key][b])), make("td", {}, make("b", {}, signed(turn * difference)), " ", interval(from, to)), make("td", {}, adjusted === null ? "–" : adjusted < 0.0001 ? "< 0.0001" : adjusted.toFixed(4)), make("td", {}, chance), make("td", { class: "left" }, turned ? make("span", { class: `verdict ${turned}` }, turned) : "–")));
      if (turned) parts.push(make("p", { class: "verdict-words" }, make("b", {}, `By ${byKey.get(key).header.replace(", %", "")}: `), WORDS[turned](text(a, "name"), text(b, "name"))));
    }
    if (!body.children.length) parts.push(make("p", {}, "This board has no paired difference of these two rows."));
    else {
      const names = ["ranking", text(a, "name"), text(b, "name"), "difference, points", "p, adjusted", "chance that the first is better, %", "verdict"];
      parts.push(make("p", { class: "small muted" }, "The interval is of this pair alone. The verdict is corrected for all pairs of the ranking, so an interval without 0 can be unresolved."));
      parts.push(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Paired difference" }, make("table", {}, make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)))), body)));
    }
    list.replaceChildren(...parts);
  };

  // ---- cost against quality ----
  const front = (points) => {
    const found = [];
    let best = -Infinity;
    for (const point of points.sort((p, q) => p.x - q.x || q.y - p.y)) if (point.y > best) { found.push(point); best = point.y; }
    return found;
  };
  const drawCosts = () => {
    if (!$("costs").open) return;
    const [key, cost] = [state.by === "ap" ? "ap" : "iou", byKey.has(state.cost) ? state.cost : "evaluations"];
    const parts = new Map();
    const measured = new Set(groups.filter((g) => g.ranked).map((g) => g.board)).size;
    for (const i of chosen()) {
      if (data.kind[i] !== "trained" || data[key][i] === null || data[cost][i] === null) continue;
      const name = `${text(i, "detector")}${measured > 1 ? `, ${text(i, "board")}` : ""}`;
      if (!parts.has(name)) parts.set(name, []);
      parts.get(name).push({ i, x: data[cost][i], y: 100 * data[key][i] });
    }
    const traces = [];
    let colour = 0;
    for (const [name, points] of parts) {
      const mark = { color: colour++ };
      const edge = (end) => points.map(({ i, y }) => (data[`${key}_${end}`][i] === null ? 0 : Math.abs(100 * data[`${key}_${end}`][i] - y)));
      traces.push({ kind: "points", name, ...mark, x: points.map((p) => p.x), y: points.map((p) => p.y), text: points.map((p) => text(p.i, "name")), ids: points.map((p) => data.id[p.i]), up: edge("high"), down: edge("low") });
      const line = front([...points]);
      traces.push({ kind: "front", name: `${name}: Pareto front`, ...mark, x: line.map((p) => p.x), y: line.map((p) => p.y), text: line.map((p) => text(p.i, "name")) });
    }
    $("no-costs").hidden = traces.length > 0;
    $("cost-chart").hidden = !traces.length;
    window.benchkitChart($("cost-chart"), { x: COSTS[cost] || byKey.get(cost).header, y: byKey.get(key).header, traces, pick: (id) => choose(id, !state.cmp.split(",").includes(id)) });
  };

  // ---- controls ----
  const controls = () => {
    for (const key of FILTERS) {
      const found = key === "season" ? seasons.map((one) => one.name) : [...new Set(data[key].filter((v) => v !== null && v !== undefined && v !== "–").map(String))];
      found.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
      const select = $(`filter-${key}`);
      select.replaceChildren(make("option", { value: "" }, "all"), ...found.map((value) => make("option", { value }, value)));
      select.addEventListener("change", () => change({ [key]: select.value }));
    }
    $("search").addEventListener("input", () => change({ q: $("search").value }, true));
    $("reset").addEventListener("click", () => { location.hash = "#"; });
    $("columns").replaceChildren(...columns.map((column) => {
      const box = make("input", { type: "checkbox", value: column.key });
      box.addEventListener("change", () => change({ cols: [...$("columns").querySelectorAll("input:checked")].map((one) => one.value).join(",") || "name", page: state.page }));
      return make("label", { title: column.meaning }, box, ` ${column.header}`);
    }));
    $("paper-box").hidden = !printed || printed === count;
    $("paper-words").textContent = `show the paper's ${printed} figures`;
    $("paper").addEventListener("change", () => change({ paper: $("paper").checked ? "1" : "" }));
    addEventListener("resize", fit);
    for (const key of ["by", "cost"]) $(key).addEventListener("change", () => change({ [key]: $(key).value, page: state.page }));
    $("costs").addEventListener("toggle", drawCosts);
    $("compare-close").addEventListener("click", () => change({ cmp: "", page: state.page }));
    $("copy").addEventListener("click", async () => {
      try { await navigator.clipboard.writeText(location.href); $("copy").textContent = "Copied"; }
      catch { $("copy").textContent = "Copy it from the address bar"; }
      setTimeout(() => { $("copy").textContent = "Copy link to this view"; }, 2000);
    });
  };
  let drawn = null;
  const draw = () => {
    drawn = location.hash || "#";
    for (const key of FILTERS) $(`filter-${key}`).value = state[key] || "";
    if (document.activeElement !== $("search")) $("search").value = state.q;
    useSeason();
    const keys = state.season && state.cols === DEFAULT_COLUMNS ? [...FRESH] : state.cols.split(",").filter((key) => byKey.has(key));
    // Sorted by ranks, the headings name the detectors.
    if (!(state.sort.replace("-", "") in RANKS) && state.cols === DEFAULT_COLUMNS) keys.push("detector");
    for (const box of $("columns").querySelectorAll("input")) box.checked = keys.includes(box.value);
    [$("by").value, $("cost").value, $("paper").checked] = [state.by, state.cost, Boolean(state.paper)];
    const shown = columns.filter((column) => keys.includes(column.key));
    const rows = ordered(chosen());
    const at = drawPages(rows.length);
    drawHead(shown);
    drawBody(shown, rows.slice((at - 1) * PAGE, at * PAGE));
    drawHeader(rows);
    drawCompare();
    drawCosts();
  };
  controls();
  readState();
  draw();
  // A view that `change` drew is drawn already: drawing it again would take the focus from the control that was used.
  window.addEventListener("hashchange", () => { if ((location.hash || "#") !== drawn) { readState(); draw(); } });
})();
