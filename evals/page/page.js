"use strict";
// The parts of the page that move: the theme, what a choice shows, and the list of messages. All data is in the page.
const $ = (id) => document.getElementById(id);
const element = (tag, attributes = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
};

// Theme: the system's, until the button says otherwise.
const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const named = () => { $("theme").textContent = dark() ? "Light" : "Dark"; };
$("theme").addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; named(); });
named();

// A choice shows one drawing of several.
for (const choice of document.querySelectorAll(".choice"))
  choice.addEventListener("change", (event) => {
    for (const one of document.querySelectorAll(`[data-shown-by="${choice.dataset.of}"]`)) one.hidden = one.dataset.value !== event.target.value;
  });

// The messages.
const AT_ONCE = 50;
const FILTERS = ["candidate", "kind", "label", "slice", "split", "search"];
const KINDS = {
  all: () => true,
  wrong: (row, mine) => wrong(row, mine),
  right: (row, mine) => !wrong(row, mine),
  missed: (row, mine) => row.safety && !mine.caught,
  flagged: (row, mine) => !row.safety && mine.caught,
  category: (row, mine) => mine.decided !== row.label,
  failed: (row, mine) => mine.failure !== "",
};
const RIGHT = {
  safety_capture: (row, answer) => (row.safety ? answer.caught : null),
  specificity: (row, answer) => (row.safety ? null : !answer.caught),
  accuracy: (row, answer) => answer.decided === row.label,
};
const wrong = (row, answer) => answer.decided !== row.label || (row.safety ? !answer.caught : answer.caught);
let data, rows, found = [], shown = 0;

async function load() {
  const bytes = Uint8Array.from(atob($("data").textContent), (letter) => letter.charCodeAt(0));
  data = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
  const safety = data.categories.indexOf("safety_compliance");
  rows = data.rows.map(([id, text, label, split, slices], place) => (
    { id, text, label, split, slices, place, safety: label === safety, found: `${id} ${text}`.toLowerCase() }));
  data.categories.forEach((name, value) => $("label").append(element("option", { value, textContent: name })));
  data.slices.forEach((name, value) => $("slice").append(element("option", { value, textContent: name.replaceAll("_", " ") })));
  $("kind").querySelector("optgroup").disabled = data.champion === null;
  fromAddress();
  filter();
  document.documentElement.dataset.ready = "";
}

function answer(candidate, row) {
  const given = data.answers[candidate][row.place];
  if (!given) return null;
  const [decided, caught, calibrated, raw, path, rationale, failure] = given;
  return { decided, caught: caught === 1, calibrated, raw, path, rationale, failure };
}

function matches(kind, row, mine, candidate) {
  if (KINDS[kind]) return KINDS[kind](row, mine);
  const [change, metric] = kind.split(/-(.*)/);
  const theirs = row.split === "gate" && data.champion !== null && answer(data.champion, row);
  if (!theirs) return false;
  const [now, before] = [RIGHT[metric](row, mine), RIGHT[metric](row, theirs)];
  return now !== null && now !== before && now === (change === "gained");
}

function filter() {
  const [candidate, kind, label, slice, split, search] = FILTERS.map((name) => $(name).value);
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  found = rows.filter((row) => {
    const mine = answer(candidate, row);
    return mine && (label === "" || row.label === +label) && (slice === "" || row.slices.includes(+slice)) && (split === "" || row.split === split)
      && words.every((word) => row.found.includes(word)) && matches(kind, row, mine, candidate);
  });
  $("count").textContent = `${found.length} of ${rows.length} messages`;
  $("list").replaceChildren();
  shown = 0;
  more();
}

function more() {
  const candidate = $("candidate").value;
  $("list").append(...found.slice(shown, shown + AT_ONCE).map((row) => item(row, candidate)));
  shown = Math.min(shown + AT_ONCE, found.length);
  $("more").hidden = shown === found.length;
}

function item(row, candidate) {
  const mine = answer(candidate, row);
  const bad = wrong(row, mine);
  const made = element("details", { id: `message-${row.id}` },
    element("summary", {},
      element("span", { className: "id", textContent: row.id }),
      element("span", { className: "turn" }, `${data.categories[row.label]} → `,
        element("span", { className: bad ? "bad" : "good", textContent: data.categories[mine.decided] + remark(row, mine) })),
      element("span", { className: "text", textContent: row.text })));
  made.addEventListener("toggle", () => { if (made.open && made.children.length === 1) made.append(body(row, candidate)); });
  return made;
}

function remark(row, given) {
  if (row.safety && !given.caught) return ", missed";
  return given.caught && data.categories[given.decided] !== "safety_compliance" ? ", to a person as safety" : "";
}

function body(row, candidate) {
  const both = data.champion === null || candidate === data.champion ? [candidate] : [candidate, data.champion];
  return element("div", { className: "body" },
    element("blockquote", { textContent: row.text }),
    element("p", { className: "tags", textContent: `${row.split}; label ${data.categories[row.label]}; ${row.slices.map((s) => data.slices[s]).join(", ").replaceAll("_", " ")}` }),
    element("div", { className: "answers" }, ...both.map((name) => told(name, row))));
}

function told(name, row) {
  const given = answer(name, row);
  const title = element("h3", { textContent: data.short[name] + (name === data.champion ? " (champion)" : "") });
  if (!given) return element("div", {}, title, element("p", { textContent: "was not asked about this one" }));
  const bars = data.categories.map((category, place) => {
    const share = given.calibrated[place] / 1000;
    const meter = element("meter", { min: 0, max: 1, value: share });
    meter.setAttribute("aria-label", `${name}: probability of ${category}`);
    const raw = given.raw ? ` (raw ${(given.raw[place] / 10).toFixed(0)})` : "";
    return element("div", { className: "bar" }, element("span", { textContent: category }), meter, element("span", { textContent: `${(share * 100).toFixed(0)} %${raw}` }));
  });
  const lines = [element("p", {}, "Decided ", element("strong", { className: wrong(row, given) ? "bad" : "good", textContent: data.categories[given.decided] + remark(row, given) }), `: ${given.path}`)];
  if (given.rationale) lines.push(element("p", { textContent: `The model's reason: “${given.rationale}”` }));
  if (given.failure) lines.push(element("p", { className: "bad", textContent: `No answer of the model: ${given.failure}` }));
  return element("div", {}, title, ...bars, ...lines);
}

// The filters stand in the address, so that what one sees can be sent to somebody.
function toAddress() {
  const chosen = new URLSearchParams(FILTERS.filter((name) => $(name).value !== "").map((name) => [name, $(name).value]));
  history.replaceState(null, "", `#?${chosen}`);
}

function fromAddress() {
  if (!location.hash.startsWith("#?")) return;
  for (const [name, value] of new URLSearchParams(location.hash.slice(2))) if (FILTERS.includes(name)) $(name).value = value;
  if ($("candidate").value === "") $("candidate").selectedIndex = 0;
  if ($("kind").value === "") $("kind").value = "wrong";
  $("errors").scrollIntoView();
}

for (const name of FILTERS) $(name).addEventListener(name === "search" ? "input" : "change", () => { filter(); toAddress(); });
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("more").addEventListener("click", () => { const first = shown; more(); $("list").children[first]?.firstChild.focus(); });
for (const button of document.querySelectorAll("button[data-change]"))
  button.addEventListener("click", () => {
    $("candidate").value = button.dataset.candidate;
    $("kind").value = button.dataset.change;
    for (const name of ["label", "slice", "split", "search"]) $(name).value = "";
    filter();
    toAddress();
    $("errors").scrollIntoView();
    $("list").querySelector("summary")?.focus({ preventScroll: true });
  });
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "/" && !typing) { event.preventDefault(); $("search").focus(); return; }
  const inList = event.target.closest?.("#list");
  const step = { j: 1, k: -1, ArrowDown: inList && 1, ArrowUp: inList && -1 }[event.key];
  if (!step || typing) return;
  const all = [...$("list").querySelectorAll("summary")];
  const place = all.indexOf(document.activeElement);
  const next = all[place < 0 ? 0 : place + step];
  if (next) { event.preventDefault(); next.focus(); next.scrollIntoView({ block: "nearest" }); }
});
// After the first paint, so that opening 1,000 messages does not delay what is above them.
requestAnimationFrame(() => setTimeout(load, 0));
