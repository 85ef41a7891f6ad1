// Settings → Webhooks: the list, and the form to add or change one.

import { acting, copy, fill, h, number, page, table, tag, time, toast } from "../ui.js";
import { forgetNames, get, getWithTag, patch, post } from "../api.js";
import { snippets } from "./snippets.js";

/** health says how an endpoint is: a word, its colour, and more. */
export function health(e) {
  const until = (t) => (t ? ["until ", time(t)] : null);
  switch (e.state) {
    case "paused": return { kind: "warn", word: "paused", text: "is paused", more: "by an operator" };
    case "disabled": {
      const why = e.disabled?.reason === "gone" ? "it answered 410 Gone" : "nothing but failures for too long";
      return { kind: "bad", word: "disabled", text: "is disabled", more: why };
    }
    case "removed": return { kind: "warn", word: "removed", text: "is not in the configuration any more", more: "and has deliveries left" };
    case "invalid": return { kind: "bad", word: "invalid", text: "cannot work", more: e.problem };
  }
  if (e.breaker.state === "open") return { kind: "bad", word: "breaker open", text: "fails: its circuit breaker is open", more: until(e.breaker.probe_at) };
  if (e.breaker.state === "half_open") return { kind: "warn", word: "probing", text: "is being probed", more: "one delivery is let through" };
  if (e.hold) return { kind: "warn", word: e.hold.reason.replaceAll("_", " "), text: `is held: ${e.hold.reason.replaceAll("_", " ")}`, more: until(e.hold.until) };
  if (e.failing_since) return { kind: "warn", word: "failing", text: "fails", more: ["since ", time(e.failing_since)] };
  return { kind: "ok", word: "healthy", text: "is healthy", more: null };
}

export async function webhooks({ me, query }) {
  const after = query.get("cursor") ?? "";
  const list = await get(`endpoints?limit=100${after ? `&cursor=${encodeURIComponent(after)}` : ""}`);
  const add = me.role === "operator" ? h("a", { class: "button primary", href: "#/webhooks/new" }, "Add Webhook") : null;
  return [
    page("Webhooks", "Settings", add),
    table([{ name: "Webhook" }, { name: "State", class: "tight" }, { name: "Pending", class: "right tight wide" }, { name: "Source", class: "wide tight" }],
      list.items.map((e) => {
        const state = health(e);
        return h("tr", {},
          h("td", { class: "wrap" }, h("a", { href: `#/webhooks/${e.id}` }, e.description || e.id), h("div", { class: "quiet small" }, e.url ?? "")),
          h("td", { class: "tight" }, tag(state.kind, state.word), h("div", { class: "quiet small" }, state.more)),
          h("td", { class: "right tight num wide" }, number(e.pending)),
          h("td", { class: "wide tight quiet" }, e.source === "api" ? "made here" : "configuration"));
      }),
      [h("p", {}, "A webhook is a URL of yours to which events are sent as they happen: a label is created, a package is delivered."), add]),
    list.next ? h("p", {}, h("a", { href: `#/webhooks?cursor=${encodeURIComponent(list.next)}` }, "More")) : null,
  ];
}

/** picker shows the event types of the catalog as checkboxes under their groups. */
function picker(catalog, chosen) {
  const groups = new Map();
  for (const t of catalog.events ?? []) groups.set(t.group || "Other events", [...(groups.get(t.group || "Other events") ?? []), t]);
  const known = new Set((catalog.events ?? []).map((t) => t.type));
  const others = chosen.filter((t) => !known.has(t) && t !== "*");
  const all = h("input", { type: "checkbox", name: "all", checked: chosen.includes("*") });
  const boxes = [...groups].map(([name, types]) => h("fieldset", { class: "types" }, h("legend", {}, name), h("div", { class: "pick" },
    types.map((t) => h("label", { class: "inline" }, h("input", { type: "checkbox", name: "event", value: t.type, checked: chosen.includes(t.type) }),
      h("span", {}, h("code", {}, t.type), t.trigger ? h("span", { class: "hint" }, ` ${t.trigger}`) : null))))));
  const dim = () => { for (const f of root.querySelectorAll("fieldset.types")) f.disabled = all.checked; };
  all.addEventListener("change", dim);
  const root = h("div", {}, h("label", { class: "inline" }, all, "All events"), boxes,
    h("label", { for: "patterns" }, groups.size ? "Other event types " : "Event types ", h("span", { class: "hint" }, "exact, or a group such as label.*; separated by spaces")),
    h("input", { type: "text", id: "patterns", name: "patterns", value: others.join(" ") }));
  dim();
  return root;
}

function chosenEvents(form) {
  const data = new FormData(form);
  if (data.get("all")) return ["*"];
  return [...new Set([...data.getAll("event"), ...String(data.get("patterns")).split(/[\s,]+/).filter(Boolean)])];
}

/** settingsOf reads the form. Members that are left empty are not set, or taken away from a webhook that had them. */
function settingsOf(form, change, tenant) {
  const data = new FormData(form);
  const text = (name) => String(data.get(name) ?? "").trim();
  const none = change ? null : undefined;
  const words = (name) => { const all = text(name).split(/[\s,]+/).filter(Boolean); return all.length ? all : none; };
  const s = {
    url: text("url"), events: chosenEvents(form), description: text("description") || none,
    environment: words("environment"), when: text("when") || none, rate_limit: rateOf(text("rate")) ?? none,
    timeout: text("timeout") || none, concurrency: text("concurrency") ? Number(text("concurrency")) : none,
    backup: words("backup"), ordered_by: text("ordered_by") || none,
  };
  if (!tenant && form.elements.tenant) s.tenant = text("tenant") || none;
  else if (tenant && !change) s.tenant = tenant;
  if (change && text("url") === form.dataset.url) delete s.url; // it may be shown without its query
  return s;
}

/** rateOf reads "1000/m burst 100"; what it cannot read goes to the gateway as it is, which says what is wrong with it. */
function rateOf(text) {
  if (!text) return undefined;
  const [rate, burst] = text.split(/\s+burst\s+/);
  return { rate: rate.replaceAll(" ", ""), ...(burst ? { burst: Number(burst) } : {}) };
}

export async function webhookForm({ me, params: [id] }) {
  const catalog = await get("catalog").catch(() => ({ events: [] }));
  const found = id ? await getWithTag(`endpoints/${id}`) : { value: { settings: {} } };
  const s = found.value.settings ?? {};
  const says = h("div", { role: "alert" });
  const field = (name, label, hint, attributes = {}) => [
    h("label", { for: name }, label, hint ? h("span", { class: "hint" }, ` ${hint}`) : null),
    h("input", { type: "text", id: name, name, value: s[name] ?? "", ...attributes })];
  const form = h("form", { class: "settings", "data-url": s.url ?? "", onsubmit: async (e) => {
    e.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      if (id) {
        await patch(`endpoints/${id}`, settingsOf(form, true, me.tenant), found.etag);
        toast("ok", "Saved. It holds from the next attempt on.");
        location.hash = `#/webhooks/${id}`;
      } else {
        created(form, await post("endpoints", settingsOf(form, false, me.tenant)));
      }
      forgetNames();
    } catch (problem) {
      fill(says, h("div", { class: "note bad" }, problem.message));
      const wrong = form.elements[(problem.body?.pointer ?? "").split("/")[1]];
      if (wrong instanceof HTMLInputElement) { wrong.setAttribute("aria-invalid", "true"); wrong.focus(); } else says.scrollIntoView({ block: "center" });
    } finally {
      button.disabled = false;
    }
  } },
  says,
  h("label", { for: "url" }, "Endpoint URL ", h("span", { class: "hint" }, "https; it must accept POST and answer 2xx within 30 seconds")),
  h("input", { type: "url", id: "url", name: "url", required: true, placeholder: "https://example.com/webhooks", value: s.url ?? "" }),
  h("h2", {}, "Events"), picker(catalog, s.events ?? []),
  field("description", "Name", "to find it again; optional"),
  field("environment", "Environments", "only events of these; empty for all", { value: (s.environment ?? []).join(" ") }),
  h("details", {}, h("summary", {}, "Advanced options"),
    me.tenant ? null : field("tenant", "Tenant", "only events of this tenant"),
    field("when", "Condition", "an expression, such as data.carrier == \"USPS\""),
    field("rate", "Rate limit", "such as 1000/m burst 100", { value: rateText(s.rate_limit) }),
    field("timeout", "Timeout", "default 30s"),
    field("concurrency", "Attempts at once", "default 16", { type: "number", min: "1" }),
    field("backup", "Backup endpoints", "tried in this order when this one fails", { value: (s.backup ?? []).join(" ") }),
    field("ordered_by", "Ordered by", "an expression; events that share its value go one at a time")),
  h("p", { class: "row" }, h("button", { type: "submit", class: "primary" }, id ? "Save" : "Save configuration"),
    h("a", { class: "button", href: id ? `#/webhooks/${id}` : "#/webhooks" }, "Cancel")));
  return [page(id ? "Change webhook" : "Add webhook", ["Settings / ", h("a", { href: "#/webhooks" }, "Webhooks")]), form];
}

const rateText = (r) => (r?.rate ? r.rate + (r.burst ? ` burst ${r.burst}` : "") : "");

/** created shows the secret, this once. */
function created(form, endpoint) {
  const secret = endpoint.secrets[0].standard ?? endpoint.secrets[0].value;
  fill(form.parentElement, page("Webhook added", "Settings / Webhooks"),
    h("div", { class: "note ok" }, "Events are sent to ", h("span", { class: "wrap" }, endpoint.url), " from now on."),
    secretPanel(endpoint.id, secret),
    h("p", { class: "row" }, h("a", { class: "button primary", href: `#/webhooks/${endpoint.id}` }, "Go on to the webhook")));
}

/** secretPanel shows a signing secret and how to verify with it. */
export function secretPanel(id, secret) {
  return h("section", {}, h("h2", {}, "Signing secret"),
    h("p", {}, "Your server verifies with it that an event comes from us. Keep it like a password; it is shown this once."),
    h("div", { class: "secret" }, h("code", { id: "secret" }, secret), copy(secret)),
    h("h3", {}, "Verify in your code"), snippets(secret));
}

/** actions are the buttons of one webhook. */
export const pausing = (e, again) => (e.state === "active"
  ? h("button", { type: "button", onclick: acting(async () => { await post(`endpoints/${e.id}/pause`); again(); }, "Paused: events wait until you resume.") }, "Pause")
  : ["paused", "disabled"].includes(e.state)
    ? h("button", { type: "button", class: "primary", onclick: acting(async () => { await post(`endpoints/${e.id}/resume`); again(); }, "Resumed: what waited goes out in order.") }, "Resume")
    : null);
