// Overview: what is wrong first, then how much goes through, then every endpoint by how it is. A customer sees its own.

import { bars, bytes, dotted, fill, h, named, number, outcomeTag, page, refill, span, spark, table, tag, time } from "../ui.js";
import { endpointNames, follow, get } from "../api.js";
import { health } from "./webhooks.js";

const refresh = 5000; // ms
const shownEndpoints = 100;

export async function overview({ me, signal }) {
  const alarms = h("div", { class: "alarms", role: "status" });
  const cards = h("div", {});
  const day = h("div", {});
  const endpoints = h("div", {});
  const live = h("ol", { class: "line", "aria-live": "off" });

  async function update() {
    const [failing, list, today, pulse, stats] = await Promise.all([get(`endpoints?failing=true&limit=${shownEndpoints}`), get(`endpoints?limit=${shownEndpoints}`),
      get("activity"), me.tenant ? null : get("pulse"), me.tenant ? null : get("stats")]);
    const known = new Set(failing.items.map((e) => e.id));
    const all = [...failing.items, ...list.items.filter((e) => !known.has(e.id))].slice(0, shownEndpoints);
    const dead = counted(today);
    refill(alarms, [failing.items.map((e) => [e.id, e.breaker, e.state, e.failing_since]), failing.next, dead], () => wrong(failing, dead));
    fill(cards, stats ? figures(pulse.minutes, stats, dead) : ownFigures(today, dead));
    refill(day, today.steps, () => bars(today.steps, today.step_seconds));
    refill(endpoints, all, () => states(all, list.next || failing.next, me));
  }
  const names = endpointNames();
  await update();
  const timer = setInterval(() => { if (!document.hidden) update().catch(() => {}); }, refresh);
  signal.addEventListener("abort", () => clearInterval(timer));
  watch(live, signal, new Map(await names));

  return [page("Overview"), alarms, cards, h("h2", {}, "Last 24 hours"), day, h("h2", {}, "Endpoints"), endpoints, h("h2", {}, "Now"), live];
}

/** counted tells the dead letters that nothing was done about; what was sent again since is none of them. */
export const counted = (activity) => number(activity.dead_letters) + (activity.more_dead_letters ? "+" : "");

const shownAlarms = 8;

function wrong(failing, dead) {
  const bad = failing.items.map((e) => ({ e, state: health(e) })).sort((a, b) => worst[a.state.kind] - worst[b.state.kind]);
  const notes = bad.slice(0, shownAlarms).map(({ e, state }) => h("div", { class: `note ${state.kind}` }, h("a", { href: `#/webhooks/${e.id}` }, e.description || e.id), ` ${state.text}`, state.more ? [", ", state.more] : null));
  if (bad.length > shownAlarms || failing.next) notes.push(h("p", { class: "quiet" }, `and ${number(bad.length - shownAlarms)}${failing.next ? " or more" : ""} others that fail, below`));
  if (dead !== "0") notes.push(h("div", { class: "note warn" }, h("a", { href: "#/dead-letters" }, `${dead} dead ${dead === "1" ? "letter" : "letters"}`), dead === "1" ? ": nobody took it, and nothing more is tried." : ": nobody took them, and nothing more is tried."));
  return notes.length ? notes : h("div", { class: "note ok" }, "Nothing is wrong.");
}

const card = (label, value, drawing) => h("div", { class: drawing ? "card drawn" : "card" }, h("div", { class: "label" }, label), h("div", { class: "value" }, value), drawing);
const cardRow = (...cards) => h("div", { class: "cards" }, cards);

const share = (succeeded, tries) => (tries === 0 ? "–" : `${((100 * succeeded) / tries).toFixed(tries > 999 ? 2 : 1)} %`);

function figures(minutes, stats, dead) {
  const last = minutes.slice(-6, -1); // five whole minutes
  const sum = (name) => last.reduce((n, m) => n + m[name], 0);
  const p95 = Math.max(0, ...last.map((m) => m.p95_ms));
  return [
    cardRow(
      card("Events a minute", number(Math.round(sum("events") / last.length)), spark(minutes.map((m) => m.events), "Events by the minute, last hour")),
      card("Success rate", share(sum("succeeded"), sum("succeeded") + sum("failed")), spark(minutes.map((m) => m.failed), "Failed attempts by the minute, last hour", "bad")),
      card("Latency, p95", p95 === 0 ? "–" : span(p95 / 1000), spark(minutes.map((m) => m.p95_ms), "Latency by the minute, last hour"))),
    cardRow(
      card("Pending", number(stats.deliveries.pending)),
      card("Oldest due", stats.oldest_due ? time(stats.oldest_due, "ago") : "–"),
      card("Dead letters", dead),
      stats.store ? card("Store", bytes(stats.store.size_bytes)) : null),
  ];
}

function ownFigures(today, dead) {
  const sum = (name) => today.steps.reduce((n, s) => n + s[name], 0);
  return cardRow(
    card("Success rate, last day", share(sum("succeeded"), sum("succeeded") + sum("failed"))),
    card("Delivered", number(today.deliveries.delivered)),
    card("Pending", number(today.deliveries.pending)),
    card("Oldest due", today.oldest_due ? time(today.oldest_due, "ago") : "–"),
    card("Dead letters", dead));
}

const worst = { bad: 0, warn: 1, "": 2, ok: 3 };

function states(endpoints, further, me) {
  const sorted = endpoints.map((e) => ({ e, state: health(e) })).sort((a, b) => worst[a.state.kind] - worst[b.state.kind] || (a.e.description || a.e.id).localeCompare(b.e.description || b.e.id));
  return [table([{ name: "Endpoint" }, { name: "State" }, { name: "Pending", class: "right" }, { name: "In flight", class: "right wide" }, { name: "URL", class: "wide" }],
    sorted.map(({ e, state }) => h("tr", {},
      h("td", { class: "wrap" }, h("a", { href: `#/webhooks/${e.id}` }, e.description || e.id)),
      h("td", {}, tag(state.kind, state.word), " ", h("span", { class: "quiet small" }, state.more)),
      h("td", { class: "right num" }, number(e.pending)),
      h("td", { class: "right num wide" }, number(e.concurrency.in_flight)),
      h("td", { class: "wide wrap small" }, e.url ?? ""))),
    me.role === "operator" ? ["There are no endpoints yet. ", h("a", { href: "#/webhooks/new" }, "Add a webhook"), " to send events to a URL."] : "There are no endpoints yet."),
  further ? h("p", {}, h("a", { href: "#/webhooks" }, "All webhooks")) : null];
}

const most = 12;

function watch(list, signal, names) {
  const empty = h("li", { class: "quiet" }, "Attempts show here as they are made.");
  fill(list, empty);
  follow("stream", signal, (kind, item) => {
    if (kind !== "attempted") return;
    empty.remove();
    list.prepend(h("li", { class: item.outcome === "delivered" ? "ok" : "bad" }, time(item.at), " ",
      h("a", { href: `#/deliveries/${item.delivery}` }, dotted(item.event_type)), " → ", named(names, item.endpoint), " ", outcomeTag(item.outcome, item.status),
      h("span", { class: "quiet num" }, ` ${span((item.duration_ms ?? 0) / 1000)}`)));
    while (list.children.length > most) list.lastChild.remove();
  });
}
