// The page of `coalm data review`. All text reaches the document through textContent: none of it can become markup.
"use strict";

// Asked so that a yes is good: the question, and what a no has to say.
const ASKED = {
  undefined: ["Are all functions and parameters in the list?", "Which function or parameter is not?"],
  type: ["Is every argument of the kind that its parameter takes?", "Which argument, and what should it be?"],
  hallucination: ["Does every argument follow from what was said or observed?", "Which value comes from nowhere, or is missing?"],
  reasoning: ["Do the thoughts fit the steps, and is every call needed and used?", "Which thought or call is at fault?"],
};

const $ = (id) => document.getElementById(id);
let overview;
let drafts = [];      // one a dialogue: {answers, remarks, saved}
let current = 0;      // dialogue
let marked = 0;       // question
let tools = [];       // of the current dialogue
let loading = 0;      // number of the latest request for a dialogue

function make(tag, className, text, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined && text !== null) node.textContent = text;
  node.append(...children);
  return node;
}

async function ask(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, options);
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

// ── the conversation ───────────────────────────────────────────────────────────────────────────

function showConversation(view) {
  const place = $("conversation");
  place.replaceChildren();
  let exchange = null;
  view.turns.forEach((turn, index) => {
    if (turn.role === "user" || !exchange) {
      exchange = make("article", "exchange");
      place.append(exchange);
    }
    exchange.append(...drawTurn(turn, index));
  });
  place.scrollTop = 0;
  window.scrollTo(0, 0);
}

function drawTurn(turn, index) {
  if (turn.role === "user" || turn.role === "system") {
    return [line(turn.role === "user" ? "User" : "Instructions", index, make("p", `bubble ${turn.role}`, turn.text))];
  }
  if (turn.role === "tool") return [line("Observation", index, drawRows(turn))];
  const parts = [line("Thought", index, make("p", turn.thought ? "thought" : "thought none", turn.thought || "no thought"))];
  for (const call of turn.calls) parts.push(line("Action", index, drawCall(call)));
  if (!turn.calls.length) parts.push(line("System", index, make("p", "bubble assistant", turn.text)));
  return parts;
}

function line(label, index, content) {
  const head = make("div", "label", label);
  head.title = `turn ${index}`;
  return make("div", `line by-${label.toLowerCase()}`, null, head, content);
}

function drawCall(call) {
  const name = make("button", "function", call.name);
  name.type = "button";
  name.title = "Show what it takes";
  name.addEventListener("click", () => openFunctions(call.name));
  const code = make("code", "call", null, name, "(");
  call.arguments.forEach(([parameter, value], index) => {
    const end = index + 1 < call.arguments.length ? ", " : "";
    code.append(make("span", "argument", null, make("span", "parameter", `${parameter}=`), make("span", "value", value), end));
  });
  code.append(")");
  return code;
}

function drawRows(turn) {
  if (!turn.rows.length) return make("p", "observed", turn.text || "nothing");
  const box = make("div", "observed");
  box.append(turn.rows.length === 1 ? drawFacts(turn.rows[0]) : drawTable(turn.rows.slice(0, turn.shown)));
  const hidden = turn.rows.length - turn.shown;
  if (hidden > 0) {
    const more = make("details", "", null, make("summary", "", `${hidden} more, which the model does not see`));
    more.append(drawTable(turn.rows.slice(turn.shown)));
    box.append(more);
  }
  return box;
}

function drawFacts(row) {
  const facts = make("dl", "facts");
  for (const [name, value] of Object.entries(row)) facts.append(make("div", "", null, make("dt", "", name), make("dd", "", value)));
  return facts;
}

function drawTable(rows) {
  const names = [...new Set(rows.flatMap(Object.keys))];
  const table = make("table");
  const head = make("tr");
  for (const name of names) head.append(make("th", "", name));
  table.append(make("thead", "", null, head));
  const body = make("tbody");
  for (const row of rows) {
    const cells = make("tr");
    for (const name of names) cells.append(make("td", "", Object.hasOwn(row, name) ? row[name] : ""));
    body.append(cells);
  }
  table.append(body);
  return make("div", "scroll", null, table);
}

// ── the questions ──────────────────────────────────────────────────────────────────────────────

function showQuestions() {
  const draft = drafts[current];
  $("questions").replaceChildren(...overview.questions.map(({ kind, title }, index) => {
    const box = make("fieldset", "question");
    box.dataset.kind = kind;
    const legend = make("legend", "", null, make("span", "number", index + 1), ASKED[kind][0]);
    const choice = make("div", "choice", null, button("yes", true), button("no", false));
    const remark = make("textarea");
    remark.placeholder = ASKED[kind][1];
    remark.setAttribute("aria-label", `Remark: ${title}`);
    remark.rows = 2;
    remark.value = draft.remarks[kind] || "";
    remark.addEventListener("input", () => { draft.remarks[kind] = remark.value; draft.saved = false; say(""); update(); });
    remark.addEventListener("focus", () => mark(index, false));
    box.append(legend, make("p", "hint", title), choice, remark);
    box.addEventListener("click", () => mark(index, false));
    return box;

    function button(word, value) {
      const found = make("button", word, null, make("span", "", word), make("kbd", "", word[0]));
      found.type = "button";
      found.addEventListener("click", (event) => {
        if (event.detail) found.blur(); // by pointer: Enter shall save, not press it again
        answer(index, value);
      });
      return found;
    }
  }));
  update();
}

function update() {
  const draft = drafts[current];
  document.querySelectorAll(".question").forEach((box, index) => {
    const value = draft.answers[box.dataset.kind];
    box.classList.toggle("marked", index === marked);
    box.classList.toggle("failed", value === false);
    box.querySelector(".yes").setAttribute("aria-pressed", value === true);
    box.querySelector(".no").setAttribute("aria-pressed", value === false);
    box.querySelector("textarea").hidden = value !== false;
  });
  $("save").classList.toggle("ready", problem(draft) === null);
  $("save").classList.toggle("done", draft.saved);
  showProgress();
}

function problem(draft) {
  for (const [index, { kind }] of overview.questions.entries()) {
    if (typeof draft.answers[kind] !== "boolean") return [index, `Question ${index + 1} is still open.`];
    if (!draft.answers[kind] && !(draft.remarks[kind] || "").trim()) return [index, "A no needs a remark: what is wrong?"];
  }
  return null;
}

function answer(index, value) {
  const draft = drafts[current];
  draft.answers[overview.questions[index].kind] = value;
  draft.saved = false;
  say("");
  mark(value && index + 1 < overview.questions.length ? index + 1 : index, true);
  if (!value) remarkOf(index).focus();
}

function mark(index, scroll) {
  marked = Math.max(0, Math.min(overview.questions.length - 1, index));
  update();
  if (scroll) document.querySelectorAll(".question")[marked].scrollIntoView({ block: "nearest" });
}

const remarkOf = (index) => document.querySelectorAll(".question textarea")[index];

function say(text, bad = false) {
  $("message").textContent = text;
  $("message").classList.toggle("bad", bad);
}

// ── going through the sample ───────────────────────────────────────────────────────────────────

async function go(index) {
  if (index < 0 || index >= drafts.length) return;
  const draft = drafts[current];
  if (!draft.saved && problem(draft) === null && !(await save())) return;
  await show(index);
}

async function show(index) {
  const number = ++loading;
  const view = await ask(`/api/dialogues/${index}`);
  if (number !== loading) return; // another one was asked for meanwhile
  current = index;
  marked = 0;
  tools = view.tools;
  const { name, services } = overview.dialogues[index];
  $("place").textContent = `Dialogue ${index + 1} of ${drafts.length}`;
  $("id").textContent = name;
  $("services").replaceChildren(...services.map((service) => make("span", "", service)));
  $("back").disabled = index === 0;
  $("forward").disabled = index + 1 === drafts.length;
  say("");
  showConversation(view);
  showQuestions();
  document.activeElement.blur();
}

async function save() {
  const draft = drafts[current];
  const wrong = problem(draft);
  if (wrong) {
    mark(wrong[0], true);
    say(wrong[1], true);
    const remark = remarkOf(wrong[0]);
    if (!remark.hidden) remark.focus();
    return false;
  }
  try {
    await ask("/api/answers", { dialogue: overview.dialogues[current].name, answers: draft.answers, remarks: draft.remarks });
  } catch (error) {
    say(`Not saved: ${error.message}`, true);
    return false;
  }
  draft.saved = true;
  update();
  return true;
}

async function saveAndGoOn() {
  if (!drafts[current].saved && !(await save())) return;
  const open = nextOpen();
  if (open === null) {
    say("All dialogues of the sample are judged.");
    await openResult();
  } else {
    await show(open);
  }
}

function nextOpen() {
  const order = drafts.map((_, step) => (current + 1 + step) % drafts.length);
  const found = order.find((index) => !drafts[index].saved);
  return found === undefined ? null : found;
}

function showProgress() {
  const done = drafts.filter((draft) => draft.saved).length;
  $("count").textContent = `${done} of ${drafts.length} judged`;
  $("marks").setAttribute("aria-label", `${done} of ${drafts.length} dialogues are judged`);
  $("marks").replaceChildren(...drafts.map((draft, index) => {
    const faulty = Object.values(draft.answers).includes(false);
    return make("i", `${draft.saved ? (faulty ? "faulty" : "fine") : ""} ${index === current ? "here" : ""}`);
  }));
}

// ── windows ────────────────────────────────────────────────────────────────────────────────────

function openFunctions(name = "") {
  $("filter").value = name;
  listFunctions();
  $("functions").showModal();
  if (!name) $("filter").focus();
}

function listFunctions() {
  const wanted = $("filter").value.toLowerCase();
  const found = tools.filter((tool) => tool.name.toLowerCase().includes(wanted));
  const list = found.map((tool) => {
    const box = make("section", "tool", null, make("h3", "", tool.name), make("p", "soft", tool.about));
    const table = make("table");
    for (const one of tool.parameters) {
      const name = make("td", "", null, make("code", "", one.name), one.required ? "" : make("small", "", "optional"));
      table.append(make("tr", "", null, name, make("td", "", one.takes), make("td", "soft", one.about)));
    }
    box.append(table);
    return box;
  });
  $("list").replaceChildren(...(list.length ? list : [make("p", "none", "There is no function with this name.")]));
}

async function openResult() {
  const summary = await ask("/api/summary");
  const rows = [...overview.questions.map(({ kind, title }) => [title, summary.questions[kind]]), ["Any of these", summary.any]];
  const body = rows.map(([title, rate]) => {
    const interval = rate.percent === null ? "" : `${rate.low.toFixed(1)}–${rate.high.toFixed(1)}`;
    const share = rate.percent === null ? "–" : `${rate.percent.toFixed(1)} %`;
    return make("tr", "", null, make("th", "", title), make("td", "", rate.count), make("td", "", share), make("td", "soft", interval));
  });
  const head = make("tr", "", null, ...["", "with errors", "share", "95 % interval"].map((text) => make("th", "", text)));
  const paper = `of ${summary.dialogues} judged; the paper found errors in ${summary.paper.count} of ${summary.paper.total}`;
  $("table").replaceChildren(make("table", "rates", null, head, ...body), make("p", "soft", paper));
  $("result").showModal();
}

// ── keys ───────────────────────────────────────────────────────────────────────────────────────

function onKey(event) {
  if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.matches("textarea, input");
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    if (!event.target.value.trim()) return say("A no needs a remark: what is wrong?", true);
    event.target.blur();
    if (marked + 1 < overview.questions.length) mark(marked + 1, true);
    return;
  }
  if (event.key === "Enter" && event.target.matches("button:not(#save), summary")) return;
  const digit = Number(event.key);
  const action = {
    y: () => answer(marked, true),
    n: () => answer(marked, false),
    ArrowUp: () => mark(marked - 1, true),
    ArrowDown: () => mark(marked + 1, true),
    ArrowLeft: () => go(current - 1),
    ArrowRight: () => go(current + 1),
    Enter: saveAndGoOn,
    u: () => { const open = nextOpen(); if (open !== null) go(open); },
    f: () => openFunctions(),
    "?": () => $("keys").showModal(),
  }[event.key] || (digit >= 1 && digit <= overview.questions.length ? () => mark(digit - 1, true) : null);
  if (!action) return;
  event.preventDefault();
  action();
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  localStorage.setItem("theme", name);
}

async function start() {
  if (localStorage.getItem("theme")) setTheme(localStorage.getItem("theme"));
  overview = await ask("/api/overview");
  drafts = overview.dialogues.map(({ answer }) => ({
    answers: { ...(answer ? answer.answers : {}) },
    remarks: { ...(answer ? answer.remarks : {}) },
    saved: Boolean(answer),
  }));
  document.addEventListener("keydown", onKey);
  $("save").addEventListener("click", saveAndGoOn);
  $("back").addEventListener("click", () => go(current - 1));
  $("forward").addEventListener("click", () => go(current + 1));
  $("filter").addEventListener("input", listFunctions);
  $("open-functions").addEventListener("click", () => openFunctions());
  $("open-result").addEventListener("click", openResult);
  $("open-keys").addEventListener("click", () => $("keys").showModal());
  $("theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).getPropertyValue("color-scheme") === "dark"
      || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    setTheme(dark ? "light" : "dark");
  });
  const first = drafts.findIndex((draft) => !draft.saved);
  await show(first < 0 ? 0 : first);
  if (first < 0) await openResult();
}

start().catch((error) => { $("conversation").textContent = `The page could not be opened: ${error.message}`; });
