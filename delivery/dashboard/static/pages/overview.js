// Overview: what is wrong first, then how much goes through, then every endpoint by how it is.

import { bytes, fill, h, number, outcomeTag, page, span, spark, table, tag, time } from "../ui.js";
import { follow, get } from "../api.js";
import { health } from "./webhooks.js";

const refresh = 5000; // ms

export async function overview({ signal }) {
  const alarms = h("div", {});
  const cards = h("div", { class: "cards" });
  const endpoints = h("div", {});
  const live = h("ol", { class: "line", "aria-live": "off" });

  async function update() {
    const [pulse, stats, list] = await Promise.all([get("pulse"), get("stats"), get("endpoints?limit=500")]);
    fill(alarms, wrong(list.items, stats));
    fill(cards, figures(pulse.minutes, stats));
    fill(endpoints, states(list.items));
  }
  await update();
  const timer = setInterval(() => { if (!document.hidden) update().catch(() => {}); }, refresh);
  signal.addEventListener("abort", () => clearInterval(timer));
  watch(live, signal);

  return [page("Overview"), alarms, cards, h("h2", {}, "Endpoints"), endpoints, h("h2", {}, "Now"), live];
}

function wrong(endpoints, stats) {
  const notes = [];
  for (const e of endpoints) {
    const state = health(e);
    if (state.kind !== "bad") continue;
    notes.push(h("div", { class: "note bad" }, h("a", { href: `#/webhooks/${e.id}` }, e.id), `: ${state.text}`));
  }
  const dead = stats.deliveries.exhausted;
  if (dead > 0) notes.push(h("div", { class: "note warn" }, h("a", { href: "#/dead-letters" }, `${number(dead)} dead letters`), " wait to be looked at."));
  if (notes.length === 0) return h("div", { class: "note ok" }, "Nothing is wrong.");
  const shown = notes.slice(0, 8);
  if (notes.length > shown.length) shown.push(h("p", { class: "quiet" }, `and ${notes.length - shown.length} more below`));
  return shown;
}

function figures(minutes, stats) {
  const last = minutes.slice(-6, -1); // five whole minutes
  const sum = (name) => last.reduce((n, m) => n + m[name], 0);
  const tries = sum("succeeded") + sum("failed");
  const p95 = Math.max(0, ...last.map((m) => m.p95_ms));
  const oldest = stats.oldest_due ?? stats.oldest_pending;
  const card = (label, value, drawing) => h("div", { class: "card" }, h("div", { class: "label" }, label), h("div", { class: "value" }, value), drawing);
  return [
    card("Events a minute", number(Math.round(sum("events") / last.length)), spark(minutes.map((m) => m.events), "Events by the minute, last hour")),
    card("Attempts that succeed", tries === 0 ? "–" : `${((100 * sum("succeeded")) / tries).toFixed(tries > 999 ? 2 : 1)} %`,
      spark(minutes.map((m) => m.failed), "Failed attempts by the minute, last hour", "bad")),
    card("95 % delivered within", p95 === 0 ? "–" : span(p95 / 1000), spark(minutes.map((m) => m.p95_ms), "Latency by the minute, last hour")),
    card("Pending", number(stats.deliveries.pending)),
    oldest ? card("Oldest pending", time(oldest, "ago")) : null,
    card("Dead letters", number(stats.deliveries.exhausted)),
    stats.store ? card("Store", bytes(stats.store.size_bytes)) : null,
  ];
}

const worst = { bad: 0, warn: 1, "": 2, ok: 3 };

function states(endpoints) {
  const sorted = endpoints.map((e) => ({ e, state: health(e) })).sort((a, b) => worst[a.state.kind] - worst[b.state.kind] || a.e.id.localeCompare(b.e.id));
  return table([{ name: "Endpoint" }, { name: "State" }, { name: "In flight", class: "right" }, { name: "URL", class: "wide" }],
    sorted.map(({ e, state }) => h("tr", {},
      h("td", { class: "wrap" }, h("a", { href: `#/webhooks/${e.id}` }, e.description || e.id)),
      h("td", {}, tag(state.kind, state.word), " ", h("span", { class: "quiet small" }, state.more)),
      h("td", { class: "right num" }, number(e.concurrency.in_flight)),
      h("td", { class: "wide wrap small" }, e.url ?? ""))),
    ["There are no endpoints yet. ", h("a", { href: "#/webhooks/new" }, "Add a webhook"), " to send events to a URL."]);
}

const most = 12;

function watch(list, signal) {
  const empty = h("li", { class: "quiet" }, "Attempts show here as they are made.");
  fill(list, empty);
  follow("stream", signal, (kind, item) => {
    if (kind !== "attempted") return;
    empty.remove();
    list.prepend(h("li", { class: item.outcome === "delivered" ? "ok" : "bad" }, time(item.at), " ",
      h("a", { href: `#/deliveries/${item.delivery}` }, item.event_type), ` → ${item.endpoint} `, outcomeTag(item.outcome, item.status),
      h("span", { class: "quiet num" }, ` ${span((item.duration_ms ?? 0) / 1000)}`)));
    while (list.children.length > most) list.lastChild.remove();
  });
}
