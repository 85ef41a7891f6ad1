// Logs: deliveries, attempts and events with their filters, and each of them by itself.

import { acting, ask, bytes, copy, dotted, facts, h, named, number, outcomeTag, page, pretty, span, stateTag, table, tag, time } from "../ui.js";
import { endpointNames, get, post, query } from "../api.js";
import { drawing } from "./routes.js";

const tabs = (current) => h("div", { class: "tabs", role: "navigation", "aria-label": "Logs" },
  [["deliveries", "Deliveries"], ["attempts", "Attempts"], ["events", "Events"]].map(([id, name]) =>
    h("a", { href: `#/${id}`, "aria-current": current === id ? "page" : null }, name)));

/** filters is a form whose values are the place's query; fields are [name, label, choices?], a choice a word or [value, word]. */
function filters(place, values, fields) {
  const local = (text) => { if (!text) return ""; const d = new Date(text); return new Date(d - d.getTimezoneOffset() * 60000).toISOString().slice(0, 16); };
  const input = ([name, label, choices]) => h("div", {}, h("label", { for: `f-${name}` }, label),
    choices ? h("select", { id: `f-${name}`, name }, h("option", { value: "" }, "any"), choices.map((c) => [c].flat()).map(([c, word]) => h("option", { value: c, selected: values.get(name) === c }, word ?? (c === "exhausted" ? "dead letter" : c.replaceAll("_", " ")))))
      : ["since", "until"].includes(name) ? h("input", { type: "datetime-local", id: `f-${name}`, name, value: local(values.get(name)) })
        : h("input", { type: "search", id: `f-${name}`, name, value: values.get(name) ?? "" }));
  return h("form", { class: "filters", onsubmit: (e) => {
    e.preventDefault();
    const chosen = Object.fromEntries(new FormData(e.currentTarget));
    for (const name of ["since", "until"]) if (chosen[name]) chosen[name] = new Date(chosen[name]).toISOString();
    if (chosen.find) { location.hash = found(chosen.find.trim()); return; }
    location.hash = `#/${place}${query(chosen)}`;
  } }, fields.map(input), h("div", {}, h("button", { type: "submit" }, "Search")));
}

/** found leads to what an id names. */
const found = (id) => (id.startsWith("dlv_") ? `#/deliveries/${id}` : `#/events/${id}`);

const asked = (q, names) => query({ ...Object.fromEntries(names.filter((n) => q.get(n)).map((n) => [n, q.get(n)])), limit: "50", cursor: q.get("cursor") });

function older(place, q, next) {
  const all = new URLSearchParams(q);
  all.set("cursor", next);
  return `#/${place}?${all}`;
}

const more = (place, q, list) => (list.next && list.items.length ? h("p", {}, h("a", { href: older(place, q, list.next) }, "Older")) : null);

/** none says that a listing is empty, or that the gateway stopped looking after a while and goes on when asked to. */
const none = (place, q, list, text) => (list.next ? ["Nothing so far: the newest were looked through. ", h("a", { href: older(place, q, list.next) }, "Look further back")] : text);

/** endpointChoices are what a filter offers; a field to type an id into if there are too many to choose from. */
const endpointChoices = (names) => (names.length > 0 && names.length < 500 ? names.toSorted((a, b) => a[1].localeCompare(b[1])) : undefined);

export const noDelivery = "No delivery matches. Deliveries are kept for 30 days unless the gateway is told otherwise.";

export function deliveryTable(items, names, choose, empty = noDelivery) {
  return table([choose ? { name: allBox(), class: "tight" } : null, { name: "Accepted", class: "wide tight" }, { name: "Event" }, { name: "To", class: "wide" }, { name: "State", class: "tight" }, { name: "Attempts", class: "tight right wide" }].filter(Boolean),
    items.map((d) => h("tr", {},
      choose ? h("td", { class: "tight" }, h("input", { type: "checkbox", value: d.id, "aria-label": `Choose ${d.id}` })) : null,
      h("td", { class: "wide tight" }, time(d.event?.accepted)),
      h("td", { class: "wrap" }, h("a", { href: `#/deliveries/${d.id}` }, dotted(d.event?.type ?? d.id)), d.event?.test ? [" ", tag("", "test")] : null, h("div", { class: "quiet small mono" }, d.event?.id ?? ""), h("div", { class: "narrow small" }, "→ ", names.get(d.target) ?? d.target), h("div", { class: "narrow small quiet" }, time(d.event?.accepted))),
      h("td", { class: "wrap wide" }, named(names, d.endpoint), d.target !== d.endpoint ? h("div", { class: "quiet small" }, "now at ", named(names, d.target)) : null),
      h("td", { class: "tight" }, stateTag(d.state, d.event?.test), d.state === "pending" && d.due ? h("div", { class: "quiet small" }, "next ", time(d.due, "due")) : null),
      h("td", { class: "tight right num wide" }, number(d.attempts_count)))),
    empty);
}

/** allBox chooses every row of its table, or none. */
function allBox() {
  return h("input", { type: "checkbox", "aria-label": "Choose all on this page", onchange: (e) => {
    for (const box of e.target.closest("table").querySelectorAll("tbody input[type=checkbox]")) box.checked = e.target.checked;
  } });
}

export function attemptTable(items, names, empty = "No attempt matches.") {
  return table([{ name: "Time", class: "wide tight" }, { name: "Event" }, names ? { name: "Endpoint", class: "wide" } : null, { name: "Outcome" }, { name: "Took", class: "wide tight right" }, { name: "Address", class: "wide tight" }].filter(Boolean),
    items.map((a) => h("tr", {},
      h("td", { class: "wide tight" }, time(a.started)),
      h("td", { class: "wrap" }, h("a", { href: `#/deliveries/${a.delivery}` }, dotted(a.event?.type ?? a.delivery)), h("span", { class: "quiet small" }, ` try ${a.n}`), names ? h("div", { class: "narrow small" }, "→ ", names.get(a.endpoint) ?? a.endpoint) : null, h("div", { class: "narrow small quiet" }, time(a.started))),
      names ? h("td", { class: "wrap wide" }, named(names, a.endpoint)) : null,
      h("td", {}, outcomeTag(a.outcome, a.status), a.detail ? h("div", { class: "quiet small" }, a.detail.replaceAll("_", " ")) : null, h("div", { class: "narrow small quiet num" }, span(a.duration_ms / 1000))),
      h("td", { class: "wide tight right num" }, span(a.duration_ms / 1000)),
      h("td", { class: "wide tight mono small" }, a.address ?? ""))),
    empty);
}

export async function deliveries({ query: q }) {
  const [list, names] = await Promise.all([get(`deliveries${asked(q, ["state", "endpoint", "type", "event", "since", "until"])}`), endpointNames()]);
  return [page("Logs"), tabs("deliveries"),
    filters("deliveries", q, [["find", "Find an id"], ["state", "State", ["pending", "delivered", "exhausted", "cancelled"]], ["endpoint", "Endpoint", endpointChoices(names)], ["type", "Event type"], ["since", "From"], ["until", "To"]]),
    deliveryTable(list.items, new Map(names), false, none("deliveries", q, list, noDelivery)), more("deliveries", q, list)];
}

const outcomes = ["delivered", "http_error", "rate_limited", "gone", "server_error", "unavailable", "timeout", "dns_error", "connection_refused", "connection_reset",
  "unreachable", "tls_error", "address_blocked", "response_too_large", "protocol_error", "network_error", "transform_error", "local", "cancelled", "unknown"];

export async function attempts({ query: q }) {
  const [list, names] = await Promise.all([get(`attempts${asked(q, ["endpoint", "outcome", "status", "since", "until"])}`), endpointNames()]);
  return [page("Logs"), tabs("attempts"),
    filters("attempts", q, [["endpoint", "Endpoint", endpointChoices(names)], ["outcome", "Outcome", outcomes], ["status", "Status, such as 5xx"], ["since", "From"], ["until", "To"]]),
    attemptTable(list.items, new Map(names), none("attempts", q, list, "No attempt matches.")), more("attempts", q, list)];
}

export async function events({ query: q }) {
  const list = await get(`events${asked(q, ["type", "environment", "routing", "since", "until"])}`);
  return [page("Logs"), tabs("events"),
    filters("events", q, [["find", "Find an id"], ["type", "Event type"], ["environment", "Environment"], ["routing", "Routing", ["routed", "unrouted", "undecided"]], ["since", "From"], ["until", "To"]]),
    table([{ name: "Accepted", class: "wide tight" }, { name: "Event" }, { name: "Environment", class: "wide" }, { name: "Deliveries" }],
      list.items.map((e) => h("tr", {}, h("td", { class: "wide tight" }, time(e.accepted)),
        h("td", { class: "wrap" }, h("a", { href: eventLink(e) }, dotted(e.type)), h("div", { class: "quiet small mono" }, e.id), h("div", { class: "narrow small quiet" }, time(e.accepted))), h("td", { class: "wide" }, e.environment),
        h("td", {}, e.routing === "routed" ? counted(e.deliveries) : tag("warn", e.routing)))), none("events", q, list, "No event matches.")),
    more("events", q, list)];
}

const eventLink = (e) => `#/events/${e.id}${query({ tenant: e.tenant })}`;

const counted = (n) => [["delivered", "ok"], ["pending", ""], ["exhausted", "bad"], ["cancelled", ""]].filter(([s]) => n[s]).map(([s, kind]) => [tag(kind, `${n[s]} ${s === "exhausted" ? "dead letter" : s}`), " "]);

const payload = (e) => (e.payload === undefined ? (e.payload_base64 ?? "") : e.payload);

function body(value) {
  const raw = typeof value === "string" ? value : JSON.stringify(value);
  const shown = h("pre", { tabindex: "0" }, pretty(value));
  let isRaw = false;
  const flip = h("button", { type: "button", onclick: () => { isRaw = !isRaw; shown.textContent = isRaw ? raw : pretty(value); flip.textContent = isRaw ? "Pretty" : "Raw"; } }, "Raw");
  return [h("div", { class: "row" }, flip, copy(raw), h("span", { class: "quiet small" }, bytes(new TextEncoder().encode(raw).length))), shown];
}

export async function event({ me, params: [id], query: q, again }) {
  const [e, all] = await Promise.all([get(`events/${id}${query({ tenant: q.get("tenant") })}`), endpointNames()]);
  const names = new Map(all);
  const why = h("div", {});
  return [page(e.type, h("a", { href: "#/events" }, "Logs / Events"),
    me.role === "operator" ? h("button", { type: "button", onclick: acting(async () => {
      const form = await ask("Replay this event", [h("p", {}, "Its deliveries are made once more, with the same event id."), h("label", { for: "endpoint" }, "Only to this endpoint (empty: to all it went to)"), h("input", { type: "text", name: "endpoint", id: "endpoint" })], "Replay");
      if (!form) return null;
      await post(`events/${id}/replay`, form.get("endpoint") ? { endpoint: form.get("endpoint") } : {});
      return again();
    }, "The event is sent again.") }, "Replay") : null,
    me.role === "operator" && e.routing !== "routed" ? h("button", { type: "button", onclick: acting(async () => { await post(`events/${id}/route`); again(); }, "The event was routed again.") }, "Route again") : null),
  facts(["Id", [h("code", {}, e.id), " ", copy(e.id, "Copy", true)]], ["Accepted", time(e.accepted)], ["Timestamp", e.timestamp], ["Environment", e.environment], ["Tenant", e.tenant], ["Source", e.source],
    ["Routing", e.routing === "routed" ? e.routing : tag("warn", e.routing)], ["Held by", (e.held ?? []).join(", ")], ["Trace", e.trace_id ? (e.trace_url ? h("a", { href: e.trace_url, rel: "noopener", target: "_blank" }, e.trace_id) : h("code", {}, e.trace_id)) : null]),
  h("h2", {}, "Deliveries"), deliveryTable(e.deliveries.map((d) => ({ ...d, event: e })), names, false, "It went nowhere: no route and no subscription wanted it."),
  me.tenant || e.payload === undefined ? null : [h("h2", {}, "Why it went there, and why not elsewhere"),
    h("button", { type: "button", onclick: acting(async () => {
      why.replaceChildren(drawing(names, await post("routes/explain", { event: e.type, data: e.payload.data, environment: e.environment, ...(e.tenant ? { tenant: e.tenant } : {}), ...(e.source ? { source: e.source } : {}) })));
    }) }, "Explain with the current rules"), why],
  h("h2", {}, "Payload"), body(payload(e))];
}

const phases = [["dns_ms", "a", "name"], ["connect_ms", "b", "connection"], ["tls_ms", "c", "TLS"], ["first_byte_ms", "d", "answer"]];

function timing(a) {
  const t = a.timing;
  if (!t) return null;
  const parts = phases.filter(([name]) => t[name] > 0);
  const whole = Math.max(a.duration_ms, parts.reduce((sum, [name]) => sum + t[name], 0));
  return h("div", {}, h("div", { class: "bar", role: "img", "aria-label": parts.map(([n, , what]) => `${what} ${span(t[n] / 1000)}`).join(", ") },
    parts.map(([name, color]) => { const i = h("i", { class: color }); i.style.width = `${Math.max(1, (100 * t[name]) / whole)}%`; return i; })),
  h("div", { class: "quiet small num" }, parts.map(([n, , what]) => `${what} ${span(t[n] / 1000)}`).join(" · ")));
}

const headerText = (all) => (!all ? null : Array.isArray(all) ? all.map((x) => `${x.name}: ${x.value}`).join("\n") : Object.entries(all).map(([n, v]) => `${n}: ${[v].flat().join(", ")}`).join("\n"));

function attemptItem(a, names) {
  return h("li", { class: a.outcome === "delivered" ? "ok" : "bad" },
    h("div", {}, h("strong", {}, `Attempt ${a.n}`), " at ", named(names, a.endpoint), " ", outcomeTag(a.outcome, a.status), a.detail ? ` ${a.detail.replaceAll("_", " ")}` : "", " ", h("span", { class: "quiet num nobreak" }, span(a.duration_ms / 1000))),
    h("div", { class: "quiet small" }, time(a.started), a.address ? ` · ${a.address}` : "", a.trace_id ? [" · trace ", a.trace_url ? h("a", { href: a.trace_url, rel: "noopener", target: "_blank" }, a.trace_id) : h("code", {}, a.trace_id)] : null,
      a.retry_after ? [" · asked to wait until ", time(a.retry_after)] : null),
    timing(a),
    h("details", {}, h("summary", {}, "Request and response"),
      headerText(a.request?.headers) ? [h("h3", {}, "Request headers"), h("pre", { tabindex: "0" }, headerText(a.request.headers))] : null,
      headerText(a.response?.headers) ? [h("h3", {}, "Response headers"), h("pre", { tabindex: "0" }, headerText(a.response.headers))] : null,
      a.response?.headers_truncated ? h("p", { class: "quiet small" }, "There were more.") : null,
      h("h3", {}, "Response body"), a.response?.excerpt ? h("pre", { tabindex: "0" }, a.response.base64 ? "(not text; base64)\n" : "", a.response.excerpt) : h("p", { class: "quiet" }, "empty"),
      a.response?.truncated ? h("p", { class: "quiet small" }, `The beginning of ${bytes(a.response.bytes)}.`) : null));
}

const transitionItem = (t, names) => h("li", { class: t.state === "exhausted" ? "bad" : "warn" }, h("div", {}, h("strong", {}, { lost: "Outcome unknown", moved: "Moved", ended: "Ended" }[t.kind] ?? t.kind), t.note ? ` – ${t.note.replaceAll("_", " ")}` : "", t.kind === "moved" ? [" → ", named(names, t.target)] : null),
  h("div", { class: "quiet small" }, time(t.at)));

/** reasons are why a delivery is a dead letter. */
const reasons = { schedule: "every attempt of its schedule failed", expired: "it waited for too long", test: "a test event is sent once" };

const watchPending = 3000; // ms

/** whenChanged shows a delivery anew once it is no longer what it was. */
function whenChanged(d, signal, again) {
  const timer = setInterval(async () => {
    if (document.hidden) return;
    const now = await get(`deliveries/${d.id}`).catch(() => d);
    if (!signal.aborted && (now.state !== d.state || now.attempts_count !== d.attempts_count || now.due !== d.due)) again();
  }, watchPending);
  signal.addEventListener("abort", () => clearInterval(timer));
}

export async function delivery({ me, params: [id], signal, again }) {
  const [d, all] = await Promise.all([get(`deliveries/${id}`), endpointNames()]);
  const names = new Map(all);
  const byNumber = new Map(d.attempts.map((a) => [a.n, a]));
  const act = (text, path, said, kind) => h("button", { type: "button", class: kind, onclick: acting(async () => { await post(`deliveries/${id}/${path}`); again(); }, said) }, text);
  const final = d.state !== "pending";
  if (!final) whenChanged(d, signal, again);
  return [page(d.event.type, h("a", { href: "#/deliveries" }, "Logs / Deliveries"),
    me.role === "operator" ? [act("Redeliver", "redeliver", "It is sent once more, with the same event id."), final ? null : act("Cancel", "cancel", "Cancelled.", "danger")] : null),
  facts(["State", [stateTag(d.state, d.event.test), d.reason ? ` ${reasons[d.reason] ?? d.reason}` : "", d.event.test ? [" ", tag("", "test")] : ""]], ["Delivery", [h("code", {}, d.id), " ", copy(d.id, "Copy", true)]], ["Event", h("a", { href: eventLink(d.event) }, d.event.id)],
    ["Endpoint", named(names, d.endpoint)], ["Backups", d.backups.length ? d.backups.map((b, i) => [i ? " → " : "", named(names, b)]) : null], ["Now at", d.target === d.endpoint ? null : named(names, d.target)],
    ["Route", d.route.startsWith("endpoint:") ? "the endpoint’s own subscription" : d.route], ["Replay", d.replay],
    ["Next attempt", final ? null : [time(d.due), " (", time(d.due, "due"), ")"]]),
  h("h2", {}, "What happened"),
  h("ol", { class: "line" }, h("li", {}, h("strong", {}, "Accepted"), h("div", { class: "quiet small" }, time(d.event.accepted))),
    d.transitions.map((t) => (t.kind === "attempted" && byNumber.has(t.attempt) ? attemptItem(byNumber.get(t.attempt), names) : transitionItem(t, names))),
    final ? null : h("li", {}, h("strong", {}, "Waiting"), h("div", { class: "quiet small" }, d.waiting ? "its transform failed: it waits for another configuration" : ["next attempt ", time(d.due), " (", time(d.due, "due"), ")"]))),
  h("h2", {}, "Payload"), body(payload(d.event))];
}
