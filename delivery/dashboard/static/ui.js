// What every page is made of. Text reaches the page as text nodes and attributes only: nothing here reads HTML, so what a
// publisher, a receiver or a header says can never become markup.

const svgNames = new Set(["svg", "g", "polyline", "rect", "title"]);

/** h makes an element. Attributes: on… are listeners, true is an empty attribute, null and false are left out. */
export function h(name, attributes, ...children) {
  const e = svgNames.has(name) ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) e.addEventListener(key.slice(2), value);
    else if (key === "value" && "value" in e) e.value = value;
    else e.setAttribute(key, value === true ? "" : value);
  }
  add(e, children);
  return e;
}

function add(e, children) {
  for (const c of children.flat(3)) {
    if (c === null || c === undefined || c === false) continue;
    e.append(c instanceof Node ? c : String(c));
  }
}

/** fill replaces what is in an element. */
export function fill(e, ...children) {
  e.replaceChildren();
  add(e, children);
  return e;
}

/** refill fills an element anew if what it shows, told by key, is not what it showed before; what had the focus keeps it. */
export function refill(e, key, make) {
  const text = JSON.stringify(key);
  if (e.dataset.key === text) return;
  const focused = e.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  e.dataset.key = text;
  fill(e, make());
  if (focused) [...e.querySelectorAll("a")].find((a) => a.getAttribute("href") === focused)?.focus({ preventScroll: true });
}

const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const short = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const numbers = new Intl.NumberFormat();

/** time shows a moment in local time, with UTC on hover. */
export function time(text, form) {
  if (!text) return h("span", { class: "quiet" }, "–");
  const at = new Date(text);
  const today = at.toDateString() === new Date().toDateString();
  const shown = form ? distance[form](at) : (today ? short : clock).format(at);
  return h("time", { datetime: text, title: at.toISOString().replace("T", " ").replace("Z", " UTC"), class: "num", "data-form": form }, shown);
}

/** distance are the forms of a moment that go on: how far it is, and for what is due that it is due. */
const distance = { ago, due: (at) => (at <= new Date() ? "now" : ago(at)) };

/** tick lets the distances of time go on. */
export function tick() {
  for (const t of document.querySelectorAll("time[data-form]")) t.textContent = distance[t.dataset.form](new Date(t.dateTime));
}

/** ago tells how far a moment is, in the largest unit that fits. */
export function ago(at) {
  const s = (Date.now() - at.getTime()) / 1000;
  const text = span(Math.abs(s));
  return s < 0 ? `in ${text}` : `${text} ago`;
}

export function span(s) {
  if (s < 0.001) return "< 1 ms";
  if (s < 0.01) return `${(s * 1000).toFixed(1)} ms`;
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 129600) return `${Math.round(s / 3600)} h`;
  return `${Math.round(s / 86400)} d`;
}

export const number = (n) => (n === undefined || n === null ? "–" : numbers.format(n));

export function bytes(n) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (n < 1000 || unit === "GB") return `${n < 10 && unit !== "B" ? n.toFixed(1) : Math.round(n)} ${unit}`;
    n /= 1000;
  }
}

/** tag shows a word with its meaning as colour; the word itself says it too. */
export const tag = (kind, text) => h("span", { class: `tag ${kind}` }, text);

const stateKinds = { delivered: "ok", pending: "", exhausted: "bad", cancelled: "" };
/** stateTag shows the state of a delivery; a test that failed is no dead letter: nobody waits for it. */
export const stateTag = (state, test) => tag(stateKinds[state] ?? "", state !== "exhausted" ? state : test ? "failed" : "dead letter");

/** dotted lets a long event type break behind its dots. */
export const dotted = (type) => type.split(/(?<=\.)/).flatMap((part, i) => (i ? [h("wbr"), part] : part));

/** ruleName names a rule as people do: a subscription by its endpoint. */
export function ruleName(rule, names) {
  const id = rule.startsWith("endpoint:") ? rule.slice(9) : "";
  return id ? `subscription of ${names.get(id) ?? id}` : rule;
}

/** position shows where a rule is written: file and line, the whole path on hover. */
export const position = (pos) => (pos ? h("span", { class: "quiet small", title: pos }, pos.split("/").pop()) : null);

export function outcomeTag(outcome, status) {
  const kind = outcome === "delivered" ? "ok" : ["local", "cancelled", "unknown"].includes(outcome) ? "warn" : "bad";
  return tag(kind, status ? `${status} ${outcome.replaceAll("_", " ")}` : outcome.replaceAll("_", " "));
}

/** spark draws numbers as a line. */
export function spark(values, label, kind) {
  const top = Math.max(1, ...values);
  const points = values.map((v, i) => `${(i / Math.max(1, values.length - 1)) * 100},${(30 - (v / top) * 28).toFixed(2)}`).join(" ");
  return h("svg", { viewBox: "0 0 100 32", preserveAspectRatio: "none", role: "img", "aria-label": label },
    h("polyline", { class: `spark ${kind ?? ""}`, points }));
}

/** bars draws counts of successes and failures by time, as the API's steps. */
export function bars(steps, seconds) {
  const top = Math.max(1, ...steps.map((s) => s.succeeded + s.failed));
  const sum = (name) => steps.reduce((n, s) => n + s[name], 0);
  const width = 100 / steps.length;
  const bar = (kind, i, from, n) => (n ? h("rect", { class: kind, x: (i * width).toFixed(3), y: (40 * (1 - (from + n) / top)).toFixed(2), width: (width * 0.8).toFixed(3), height: Math.max(0.6, (40 * n) / top).toFixed(2) }) : null);
  const hour = (t) => short.format(t);
  const all = sum("succeeded") + sum("failed");
  return h("figure", { class: "bars" },
    h("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", role: "img", "aria-label": `Attempts of the last day: ${number(sum("succeeded"))} succeeded, ${number(sum("failed"))} failed` },
      steps.map((s, i) => h("g", {}, h("title", {}, `${hour(new Date(s.at))} – ${hour(new Date(Date.parse(s.at) + 1000 * seconds))}: ${number(s.succeeded)} succeeded, ${number(s.failed)} failed`),
        h("rect", { class: "hit", x: (i * width).toFixed(3), y: 0, width: width.toFixed(3), height: 40 }), bar("ok", i, 0, s.succeeded), bar("bad", i, s.succeeded, s.failed)))),
    h("figcaption", { class: "quiet small num" }, h("span", {}, "a day ago"), h("span", {}, all === 0 ? "no attempts yet" : `${number(sum("succeeded"))} succeeded, ${number(sum("failed"))} failed; the most in half an hour: ${number(top)}`), h("span", {}, "now")));
}

/** named shows an endpoint by its name, with its id on hover. */
export const named = (names, id) => h("a", { href: `#/webhooks/${id}`, title: id }, names.get(id) ?? id);

export function table(columns, rows, empty) {
  if (rows.length === 0) return h("div", { class: "empty" }, empty);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" }, h("table", {},
    h("thead", {}, h("tr", {}, columns.map((c) => h("th", { scope: "col", class: c.class }, c.name)))),
    h("tbody", {}, rows)));
}

export const facts = (...pairs) => h("dl", { class: "facts" },
  pairs.filter((p) => p && p[1] !== undefined && p[1] !== null && p[1] !== "").map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));

export function page(title, crumbs, ...actions) {
  document.title = `${title} · Webhooks`;
  return h("header", { class: "page" },
    h("div", {}, crumbs ? h("div", { class: "crumbs" }, crumbs) : null, h("h1", { tabindex: "-1" }, title)),
    h("div", { class: "row" }, actions));
}

/** copy is a button that puts text on the clipboard. */
export function copy(text, label = "Copy", small) {
  const b = h("button", { type: "button", class: small ? "small" : null, onclick: async () => {
    try {
      await navigator.clipboard.writeText(typeof text === "function" ? text() : text);
      b.textContent = "Copied";
    } catch {
      b.textContent = "Select and copy it";
    }
    setTimeout(() => { b.textContent = label; }, 2000);
  } }, label);
  return b;
}

let toasts;
/** toast says something in passing. */
export function toast(kind, text) {
  toasts ??= document.body.appendChild(h("div", { class: "toast", role: "status", "aria-live": "polite" }));
  const note = h("div", { class: `note ${kind}` }, text);
  toasts.append(note);
  setTimeout(() => note.remove(), 6000);
}

/** ask shows a dialog and resolves to what its form says, or null. */
export function ask(title, content, confirm, danger) {
  return new Promise((resolve) => {
    const form = h("form", { method: "dialog" }, h("h2", { style: null }, title), content,
      h("div", { class: "row" }, h("button", { type: "submit", value: "yes", class: danger ? "danger" : "primary" }, confirm),
        h("button", { type: "button", onclick: () => d.close("") }, "Cancel")));
    const d = h("dialog", { "aria-label": title }, form);
    d.addEventListener("close", () => {
      resolve(d.returnValue === "yes" ? new FormData(form) : null);
      d.remove();
    });
    document.body.append(d);
    d.showModal();
  });
}

/** acting runs something a button does: the button waits, and a mistake is told. A disabled button would lose the focus. */
export function acting(does, done) {
  return async (event) => {
    const b = event.currentTarget;
    if (b.ariaDisabled) return;
    b.ariaDisabled = "true";
    try {
      const result = await does(event);
      if (done && result !== null) toast("ok", typeof done === "function" ? done(result) : done);
    } catch (problem) {
      toast("bad", problem.message);
    } finally {
      b.ariaDisabled = null;
    }
  };
}

/** pretty is JSON for reading; what is none is shown as it is. */
export function pretty(value) {
  if (typeof value !== "string") return JSON.stringify(value, null, 2);
  try {
    return JSON.stringify(JSON.parse(value), null, 2);
  } catch {
    return value;
  }
}
